/** Whatever strangers send to a listening actor, it closes their connections, logs why, and still serves its peers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";

import type { Runtime } from "../../src/actor/runtime.ts";
import type { Peer } from "../../src/channel/peer.ts";
import type { Session } from "../../src/rpc/session.ts";
import type { Address } from "../../src/transport/address.ts";
import { Kind } from "../../src/wire/messages.ts";
import { until } from "../support/world.ts";
import { frameOf, joined } from "../wire/crossing.ts";
import { actor, soon } from "./actors.ts";
import { helloWith, RawPeer } from "../support/raw-peer.ts";

const path = join(process.env["FURROW_RUNTIME_DIR"]!, "hostile.sock");
const addr: Address = `unix://${path}`;
let child: Bun.Subprocess<"pipe", "pipe", "pipe">;
let log = "";
let friend: Runtime;
let peer: Peer<Session>;

beforeAll(async () => {
  child = Bun.spawn([process.execPath, join(import.meta.dir, "../fixtures/listener.ts"), addr], {
    env: { ...process.env, FURROW_LOG: "channel=info" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) log += decoder.decode(chunk);
  })();
  await child.stdout.getReader().read();
  friend = await actor("friend");
  peer = await friend.peers.connectTo(addr, soon());
});

afterAll(async () => {
  peer.release();
  await friend.cancel();
  await child.stdin.end();
  await child.exited;
});

function ask<T>(name: string, ...args: unknown[]): Promise<T> {
  return peer.handler.call(name, args) as Promise<T>;
}

let seed = Number(process.env["FURROW_FUZZ_SEED"] ?? 1);

/** The same numbers in every run, so that a failure can be repeated (mulberry32). */
function random(below: number): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
}

/** Sends the bytes, ends its output if asked to, and waits until the actor has closed the connection. */
async function visit(bytes: Uint8Array, leave = false): Promise<void> {
  await using stranger = await RawPeer.connect(addr);
  stranger.sendRaw(bytes);
  if (leave) stranger.leave();
  await stranger.ended;
}

/** Makes many visits, several at a time, with calls by a friend in between. */
async function siege(visits: Uint8Array[], leave = false): Promise<void> {
  for (let at = 0; at < visits.length; at += 50) {
    const [value] = await Promise.all([
      ask("echo", at),
      ...visits.slice(at, at + 50).map((bytes) => visit(bytes, leave)),
    ]);
    expect(value).toBe(at);
  }
}

/** The number of connections for which the actor's log gives a reason. */
function reasons(): number {
  return log.match(/: (closing|refused \(\w+\)): ./g)?.length ?? 0;
}

describe("an actor that strangers talk to", () => {
  test("closes 1000 connections of random bytes, logs a reason for each, and keeps its memory bounded", async () => {
    await siege(Array.from({ length: 100 }, () => new Uint8Array([1, 0, 0, 0, 0xc1])));
    const memory = await ask<number>("memory");
    await until(() => reasons() >= 100);
    const before = reasons();
    const visits = Array.from({ length: 1_000 }, () => {
      const bytes = new Uint8Array(8 + random(300)).map(() => random(256));
      // half of them with a plausible length
      if (random(2) === 0) bytes.set([bytes.length - 4 - random(4), random(1), 0, 0]);
      return bytes;
    });
    await siege(visits);
    await until(() => reasons() >= before + 1_000);
    expect(reasons()).toBe(before + 1_000);
    expect(await ask<number>("memory")).toBeLessThan(memory + 30_000_000);
    expect(await ask("peers")).toBe(1);
  });

  test("survives 1000 damaged conversations of well-formed frames", async () => {
    const conversation = (): Uint8Array =>
      joined([
        frameOf(helloWith()),
        frameOf([Kind.call, 1, "echo", [{ list: [1, "two", new Uint8Array(3)] }]]),
        frameOf([Kind.call, 2, "echo", [0, [1, "key", [3]]], true]),
        frameOf([Kind.stream, 3, "echo", [], null, 1, 1]),
        frameOf([Kind.open, 4, "echo", [], null, 1, 1]),
        frameOf([Kind.put, 4, 1]),
        frameOf([Kind.result, 9, "nobody asked"]),
        frameOf([Kind.error, 9, [[], ["Error", "m", "", null, null, null]]]),
        frameOf([Kind.cancel, 1, "why"]),
        frameOf([Kind.allowItems, 3, 1, 1]),
        frameOf([Kind.ping, 5]),
        frameOf([Kind.idle]),
        frameOf([Kind.bye, "done"]),
      ]);
    const visits = Array.from({ length: 1_000 }, () => {
      const bytes = conversation();
      for (let changes = 1 + random(4); changes > 0; changes--) bytes[random(bytes.length)] = random(256);
      return bytes;
    });
    await siege(visits, true);
    expect(await ask("echo", "still here")).toBe("still here");
    await until(async () => (await ask("peers")) === 1);
  }, 30_000);

  test("gives silence half a second, and half a frame no more", async () => {
    const half = frameOf(helloWith()).slice(0, -1);
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => visit(index % 2 === 0 ? new Uint8Array() : half)),
    );
    expect(log).toMatch(/closing: no handshake with a peer on .*hostile\.sock in 500 ms/);
  });

  test("survives connections that are closed at once", async () => {
    for (let round = 0; round < 10; round++) {
      const strangers = await Promise.all(Array.from({ length: 50 }, () => RawPeer.connect(addr)));
      for (const stranger of strangers) {
        stranger.sendRaw(frameOf(helloWith()).slice(0, random(60)));
        void stranger[Symbol.asyncDispose]();
      }
    }
    expect(await ask("echo", 1)).toBe(1);
    await until(async () => (await ask("peers")) === 1);
  });
});
