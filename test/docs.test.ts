/** What the documents say is so: bytes, tables, programs, and the names of tests. */
import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { manyNames } from "../bench/harness/names.ts";
import { rows as benchRows } from "../bench/rows/all.ts";
import { Policy } from "../src/rpc/policy.ts";
import * as furrow from "../src/index.ts";
import { defaultLimits } from "../src/limits.ts";
import { Batch } from "../src/wire/codec.ts";
import { decode } from "../src/wire/decode.ts";
import { FrameDecoder } from "../src/wire/frame.ts";
import { checkMessage, Kind } from "../src/wire/messages.ts";
import { type Block, blocks, expectOutput, hasTest, read, root, rows } from "./support/documents.ts";
import { RawPeer } from "./support/raw-peer.ts";
import { until, World } from "./support/world.ts";

interface Frame {
  readonly bytes: Uint8Array;
  readonly message: readonly unknown[];
  readonly source: string;
}

/** The frames of a text: a block of bytes, and the message below it. */
function framesOf(document: string): Frame[] {
  return blocks(document).flatMap(({ language, text }, at, all) => {
    if (language !== "hex") return [];
    const bytes = Uint8Array.fromHex(text.replaceAll(/#.*$/gm, "").replaceAll(/\s/g, ""));
    const source = all[at + 1]!.text.trim();
    // oxlint-disable-next-line typescript/no-implied-eval -- the document's own literal
    return [{ bytes, message: new Function(`return (${source})`)() as unknown[], source }];
  });
}

/** Opens a session with the document's hello. The kernel knows this process's pid, and the document can't. */
async function greeted(actor: furrow.Actor, hello: Frame): Promise<RawPeer> {
  const peer = await RawPeer.connect(actor.registryAddrs[0]!);
  peer.sendBytes(encode(hello.message.with(5, process.pid)));
  return peer;
}

describe("docs/protocol.md", () => {
  const document = read("docs/protocol.md");
  const frames = framesOf(document);

  test("has bytes that decode to the message below them, and the other way round", () => {
    expect(frames.length).toBeGreaterThan(8);
    for (const { bytes, message, source } of frames) {
      const decoded: unknown[] = [];
      new FrameDecoder(defaultLimits.maxFrameBytes).push(bytes, (chunk, start, end) => {
        decoded.push(checkMessage(decode(chunk, start, end)));
        return true;
      });
      expect(decoded, source).toEqual([message]);
      expect(encode(message).toHex(), source).toBe(bytes.toHex());
    }
  });

  test("has a session that a running actor answers as written", async () => {
    await using world = new World();
    await using actor = await furrow.openRootActor({
      registryAddrs: [world.unix],
      enableModules: [new URL("../examples/service-daemon-discovery.ts", import.meta.url)],
    });
    const [hello, call, result, bye] = frames;
    await using peer = await greeted(actor, hello!);
    peer.sendBytes(call!.bytes);
    expect((await peer.take()).slice(0, 7)).toEqual([
      Kind.hello,
      1,
      actor.uuid,
      "root",
      actor.id.host,
      process.pid,
      "peer",
    ]);
    expect<unknown>(await peer.take()).toEqual(result!.message);
    peer.sendBytes(bye!.bytes);
    await peer.ended;
    await until(() => actor.stats().peers === 0);
  });

  test("has a stream that a running actor sends as written, within the credit that it is given", async () => {
    await using world = new World();
    await using actor = await furrow.openRootActor({
      registryAddrs: [world.unix],
      enableModules: [new URL("./fixtures/flows.ts", import.meta.url)],
    });
    await using root = await furrow.getRoot<typeof import("./fixtures/flows.ts")>();
    await root.run.events(); // this process keeps the record, and other files use it too
    const [stream, first, second, allow, third, result, other, only, cancel] = framesOf(
      document.split("\n## A stream in bytes\n")[1]!,
    );
    await using peer = await greeted(actor, frames[0]!);
    await peer.take(Kind.hello);
    peer.sendBytes(stream!.bytes);
    for (const frame of [first, second]) expect<unknown>(await peer.take()).toEqual(frame!.message);
    await root.run.ping();
    expect(peer.received).toHaveLength(3); // no more than the credit allows
    peer.sendBytes(allow!.bytes);
    for (const frame of [third, result]) expect<unknown>(await peer.take()).toEqual(frame!.message);
    peer.sendBytes(other!.bytes);
    expect<unknown>(await peer.take()).toEqual(only!.message);
    peer.sendBytes(cancel!.bytes);
    const [kind, id, [path, error]] = (await peer.take()) as unknown as [
      number,
      number,
      [object[], unknown[]],
    ];
    expect([kind, id, path.length, error[0]]).toEqual([Kind.error, 3, 1, "ContextCancelledError"]);
    expect(await root.run.events()).toEqual(["count returned", "count finally", "count finally"]);
  });

  test("has a knock that a running actor answers with its proof, as written", async () => {
    await using world = new World();
    const secret = "an example, not a secret";
    await using actor = await furrow.openRootActor({ registryAddrs: [world.tcp], security: { secret } });
    const [knock] = framesOf(document.split("\n## A knock in bytes\n")[1]!);
    const theirs = knock!.message;
    const knocked = ["knock", theirs[10], theirs[2], "peer", ""] as (string | Uint8Array)[];
    const keyOf = (ports: readonly number[]): Buffer => {
      const ends = ports
        .map((port) => `127.0.0.1 ${port}`)
        .sort()
        .join(" ");
      return createHmac("sha256", secret).update(`10:connection${ends.length}:${ends}`).digest();
    };
    const proofOf = (key: Buffer, fields: readonly (string | Uint8Array)[]): Buffer => {
      const hmac = createHmac("sha256", key);
      for (const field of fields) hmac.update(`${Buffer.byteLength(field)}:`).update(field);
      return hmac.digest();
    };
    expect(theirs[11]).toEqual(new Uint8Array(proofOf(keyOf([54321, 1616]), knocked)));
    await using peer = await RawPeer.connect(actor.registryAddrs[0]!);
    const key = keyOf(peer.ports);
    // the same knock, on this connection
    peer.sendBytes(new Uint8Array([...knock!.bytes.slice(0, -32), ...proofOf(key, knocked)]));
    const [, , uuid, name, host, pid, purpose, addrs, , , nonce, proof] = (await peer.take()) as unknown as [
      number,
      number,
      string,
      string,
      string,
      number,
      string,
      string[],
      boolean,
      string,
      Uint8Array,
      Uint8Array,
    ];
    expect([uuid, name, pid]).toEqual([actor.uuid, "root", process.pid]);
    const said = [uuid, name, host, String(pid), purpose, "registrar", String(addrs.length), ...addrs];
    const fields = ["acceptor", theirs[10], nonce, theirs[2], "peer", "", ...said] as (string | Uint8Array)[];
    expect(proof).toEqual(new Uint8Array(proofOf(key, fields)));
  });

  test("lists every kind of message with its number", () => {
    const listed = rows(document, /^\d+$/).map(([kind, name]) => [name, Number(kind)]);
    expect(Object.fromEntries(listed)).toEqual(Kind);
  });
});

function encode(message: readonly unknown[]): Uint8Array {
  const batch = new Batch();
  batch.add(message, defaultLimits.maxFrameBytes);
  const parts: Uint8Array[] = [];
  batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
  return new Uint8Array(Buffer.concat(parts));
}

describe("docs/errors.md", () => {
  test("lists every error class with its code, and no others", () => {
    const exported = Object.entries(furrow).flatMap(([name, value]) => {
      const prototype: unknown = typeof value === "function" ? value.prototype : undefined;
      if (!(prototype instanceof furrow.FurrowError)) return [];
      const words = name.replace(/Error$/, "").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_");
      return [[`\`${name}\``, `\`ERR_${words.toUpperCase()}\``]];
    });
    const listed = rows(read("docs/errors.md"), /^`\w+Error`$/).map(([name, code]) => [name, code]);
    expect(listed).toHaveLength(exported.length);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(exported));
  });

  test("has the codes that the classes have", () => {
    const source = read("src/errors.ts");
    for (const [name = "", code = ""] of rows(read("docs/errors.md"), /^`\w+Error`$/)) {
      const plain = name.replaceAll("`", "");
      const body = source.slice(source.indexOf(`class ${plain} extends`));
      expect(/readonly code = "(\w+)"/.exec(body)?.[1], plain).toBe(code.replaceAll("`", ""));
    }
  });
});

describe("docs/semantics.md", () => {
  const document = read("docs/semantics.md");

  for (const [heading, file, columns] of [
    ["Streams", "test/rpc/streams.test.ts", 5],
    ["Dialogs", "test/rpc/dialogs.test.ts", 5],
    ["Restarts", "test/process/restart.test.ts", 3],
  ] as const) {
    test(`names a test that exists in each row on ${heading.toLowerCase()}`, () => {
      const section = document.split(`\n## ${heading}\n`)[1]!.split("\n## ")[0]!;
      expect(section).toContain(`\`${file}\``);
      const cases = rows(section.slice(section.indexOf("| case |")), /^(?!case$|-+$)/);
      expect(cases.length).toBeGreaterThan(10);
      expect(cases.filter((row) => row.length !== columns)).toEqual([]);
      expect(cases.map((row) => row.at(-1)!).filter((title) => !hasTest(file, title))).toEqual([]);
    });
  }

  test("has the numbers that hold", () => {
    const { creditMessages, creditBytes, stopGraceMs, stopTermMs, maxCallsInFlight } = defaultLimits;
    for (const [limit, value] of Object.entries({
      creditMessages,
      creditBytes,
      stopGraceMs,
      stopTermMs,
      maxCallsInFlight,
    })) {
      const numbers = Array.from(document.matchAll(new RegExp(`\`${limit}\` \\(([\\d,]+)`, "g")));
      expect(numbers.length, limit).toBeGreaterThan(0);
      for (const [, number = ""] of numbers) expect(Number(number.replaceAll(",", "")), limit).toBe(value);
    }
  });
});

describe("docs/security.md", () => {
  test("names a test that exists for each threat", () => {
    const section = read("docs/security.md").split("\n## Threats\n")[1]!.split("\n## ")[0]!;
    const threats = rows(section, /^(?!who$|-+$)/);
    expect(threats.length).toBeGreaterThan(10);
    const missing = threats.filter((row) => {
      const [, file = "", title = ""] = /^`([^`]+)`: (.+)$/.exec(row.at(-1)!) ?? [];
      return row.length !== 4 || !hasTest(file, title);
    });
    expect(missing).toEqual([]);
  });

  test("has a policy that is one", () => {
    const policy = blocks(read("docs/security.md"))
      .map(({ text }) => /policy: (\[[\s\S]*?\n {4}\])/.exec(text)?.[1])
      .find((found) => found !== undefined);
    // oxlint-disable-next-line typescript/no-implied-eval -- the document's own literal
    const rules = new Function(`return ${policy}`)() as ConstructorParameters<typeof Policy>[0];
    expect(
      new Policy(rules).permissionsOf({ auth: "tls", subject: "shop/web" }).mayCall?.("listAll"),
    ).toBeTrue();
  });
});

describe("docs/testing.md", () => {
  test("has an example that passes", async () => {
    const [example] = blocks(read("docs/testing.md"));
    const stock = `let apples = 10;
      export function take(_what: string, count: number): number { return (apples -= count); }`;
    mkdirSync(join(root, "build"), { recursive: true });
    const folder = mkdtempSync(join(root, "build", "testing-"));
    try {
      await Bun.write(join(folder, "stock.ts"), stock);
      await Bun.write(join(folder, "stock.test.ts"), example!.text);
      const run = Bun.spawn([process.execPath, "test"], { cwd: folder, stdout: "ignore", stderr: "pipe" });
      expect(await run.stderr.text()).toContain("2 pass\n 0 fail");
      expect(await run.exited).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("docs/observability.md", () => {
  const document = read("docs/observability.md");

  test("has programs that print what it says", async () => {
    const all = blocks(document);
    let programs = 0;
    for (const [at, { language, text }] of all.entries()) {
      if (language !== "ts" || all[at + 1]?.language !== "text") continue;
      await expectOutput(text, all[at + 1]!.text);
      programs++;
    }
    expect(programs).toBe(2);
  });

  test("lists every metric and every channel, and no others", async () => {
    const listed = (first: RegExp): string[] =>
      rows(document, first).flatMap(([cell = ""]) =>
        Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = ""]) => name),
      );
    const source = read("src/inspect/metrics-text.ts");
    const metrics = Array.from(source.matchAll(/name: "([a-z_]+)"/g), ([, name = ""]) => name);
    expect(listed(/^`(?:furrow|process)_/).toSorted()).toEqual(metrics.toSorted());
    const [, channels = ""] = /const names = \[([^\]]+)\]/.exec(read("src/inspect/channels.ts"))!;
    const published = Array.from(channels.matchAll(/"([a-z.]+)"/g), ([, name]) => `furrow.${name}`);
    const [beforeTraces = ""] = document.split("\n## OpenTelemetry\n");
    const shown = rows(beforeTraces, /^`furrow\.\w+\.\w+/).flatMap(([cell = ""]) => {
      const [first = "", ...more] = Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
      return [first, ...more.map((end) => first.slice(0, first.lastIndexOf(".")) + end)];
    });
    expect(shown.toSorted()).toEqual(published.toSorted());
  });
});

describe("docs/performance.md", () => {
  test("says what each row of the bench does, and what it found", () => {
    const ids = benchRows.map(({ id }) => `\`${id}\``);
    const document = read("docs/performance.md");
    const part = (name: string): string =>
      document.split(`<!-- ${name} -->`)[1]!.split(`<!-- /${name} -->`)[0]!;
    for (const name of ["rows", "pinned"]) expect(rows(part(name), /^`/).map(([id]) => id)).toEqual(ids);
  });

  test("says how many names a round of lookups has", () => {
    expect(read("docs/performance.md")).toContain(`out of ${manyNames.toLocaleString("en")}:`);
  });

  test("names commands that exist", () => {
    const [{ text }] = blocks(read("docs/performance.md")).filter(({ language }) => language === "sh") as [
      Block,
    ];
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const named = Array.from(text.matchAll(/^bun run (\S+)/gm), ([, name = ""]) => name);
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
    expect(named.length).toBeGreaterThan(5);
  });
});
