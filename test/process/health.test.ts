/** The probes of an orchestrator: alive, and ready. */
import { describe, expect, test } from "bun:test";

import {
  AddressError,
  findActor,
  NoRuntimeError,
  openNursery,
  openRootActor,
  serveHealth,
} from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/healthy.ts", import.meta.url);
type Healthy = typeof import("../fixtures/healthy.ts");

async function probe(url: string, path: string, method = "GET"): Promise<[number, unknown]> {
  const response = await fetch(url + path, { method });
  return [response.status, await response.json()];
}

const ready = (actor: string): [number, unknown] => [
  200,
  { status: "ok", actor, checks: { registered: "ok", serving: "ok" } },
];
const failing = (actor: string, checks: object): [number, unknown] => [
  503,
  { status: "unavailable", actor, checks: { registered: "ok", serving: "ok", ...checks } },
];
const unregistered = { registered: "no registrar has this actor registered" };

describe("serveHealth", () => {
  test("says that a registrar is alive and ready", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "hub" });
    await using health = await serveHealth({ port: 0 });
    expect(health.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await probe(health.url, "/livez")).toEqual([200, { status: "ok", actor: "hub" }]);
    expect(await probe(health.url, "/readyz")).toEqual(ready("hub"));
    const { headers } = await fetch(`${health.url}/readyz`);
    expect(headers.get("content-type")).toContain("application/json");
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test("says that a child is ready once it is registered, and not before", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Healthy>("web", { module });
    expect(await child.run.atImport()).toEqual(failing("web", unregistered));
    expect(await probe(await child.run.url(), "/readyz")).toEqual(ready("web"));
  });

  test("says that an actor without a registrar isn't ready, but alive, until another takes over", async () => {
    await using world = new World();
    const registrar = await world.actor("registrar");
    const root = await world.actor("root");
    const url = await root.run(async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      const child = await nursery.startActor<Healthy>("web", { module: args[0] as string });
      return await child.run.url();
    }, module.href);
    expect(await probe(url, "/readyz")).toEqual(ready("web"));
    // nobody is left who could take over
    await root.freeze();
    await registrar.kill();
    await until(async () => (await probe(url, "/readyz"))[0] === 503);
    expect(await probe(url, "/readyz")).toEqual(failing("web", unregistered));
    expect((await probe(url, "/livez"))[0]).toBe(200);
    root.signal("SIGCONT");
    await until(async () => (await probe(url, "/readyz"))[0] === 200);
  });

  test("says that a draining actor isn't ready, and is gone with the actor", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Healthy>("web", { module });
    const url = await child.run.url();
    const held = child.run.hold();
    const drained = child.drainActor();
    await until(async () => (await probe(url, "/readyz"))[0] === 503);
    expect(await probe(url, "/readyz")).toEqual(failing("web", { serving: "the actor is draining" }));
    expect((await probe(url, "/livez"))[0]).toBe(200);
    // the actor takes on no more calls
    process.kill(child.id.pid, "SIGUSR2");
    expect(await held).toEqual(failing("web", { serving: "the actor is draining" }));
    expect(await drained).toBe(true);
    expect((await failure(fetch(`${url}/livez`))).message).toContain("Unable to connect");
  });

  test("says that an actor is ending as long as its clean-ups run", async () => {
    await using world = new World();
    const actor = await openRootActor({ ...world.options, name: "hub" });
    const { url } = await serveHealth({ port: 0 });
    let seen: unknown;
    actor.onEnd(async () => {
      seen = await probe(url, "/readyz");
    });
    await actor.cancel();
    expect(seen).toEqual(failing("hub", { serving: "the actor is ending" }));
    await failure(fetch(`${url}/livez`));
  });

  test("ends with its disposal, and the actor goes on", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const health = await serveHealth({ port: 0 });
    await health[Symbol.asyncDispose]();
    await health[Symbol.asyncDispose]();
    await failure(fetch(`${health.url}/livez`));
    expect(actor.signal.aborted).toBe(false);
    expect(await findActor("root")).not.toBeNull();
    // the port is free again
    await using again = await serveHealth({ port: Number(new URL(health.url).port) });
    expect(again.url).toBe(health.url);
  });

  test("answers GET and HEAD at its two paths, and nothing else", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    await using health = await serveHealth({ port: 0 });
    const { url } = health;
    const head = await fetch(`${url}/readyz`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect(await probe(url, "/readyz?verbose")).toEqual(ready("root"));
    expect(await probe(url, "/readyz", "DELETE")).toEqual([405, { error: "use GET" }]);
    expect(await probe(url, "/healthz")).toEqual([404, { error: "not found" }]);
  });

  test("rejects a port that is taken or isn't one, and a process without an actor", async () => {
    await using world = new World();
    expect(await failure(serveHealth({ port: 0 }))).toBeInstanceOf(NoRuntimeError);
    const actor = await openRootActor(world.options);
    const { url } = await serveHealth({ port: 0 });
    const { port } = new URL(url);
    const taken = await failure(serveHealth({ port: Number(port) }));
    expect(taken).toBeInstanceOf(AddressError);
    expect(taken.message).toStartWith(`cannot serve health on port ${port} of 127.0.0.1: `);
    for (const wrong of [-1, 65_536, 1.5, Number.NaN])
      expect(await failure(serveHealth({ port: wrong }))).toBeInstanceOf(RangeError);
    await actor.cancel();
    expect(await failure(serveHealth({ port: 0 }))).toBeInstanceOf(NoRuntimeError);
  });
});
