/** How an error from another actor reads: its message, the frames there, each with its actor, then the caller's own. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { inspect } from "node:util";

import {
  ContextCancelledError,
  NotExposedError,
  openNursery,
  type Portal,
  type RemoteActorError,
} from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

const module = new URL("../fixtures/exports.ts", import.meta.url);
type Exports = typeof import("../fixtures/exports.ts");
const flows = new URL("../fixtures/flows.ts", import.meta.url);
type Flows = typeof import("../fixtures/flows.ts");

/** The lines of a text, with uuids, folders and positions left out. */
function linesOf(text: string): string[] {
  return text
    .replaceAll(/#[0-9a-f]{8}/g, "")
    .replaceAll(/\/[^\s()]*\//g, "")
    .replaceAll(/:\d+(:\d+)?\)/g, ")")
    .split("\n");
}

/** The names of what stands in the frames, and the files. */
function framesOf(error: Error): string[] {
  return linesOf(error.stack ?? "")
    .filter((line) => line.startsWith("    at "))
    .map((line) => line.slice(7));
}

/** Two functions that wait for a call. */
async function inner(call: () => PromiseLike<unknown>): Promise<void> {
  await call();
}
async function outer(call: () => PromiseLike<unknown>): Promise<void> {
  await inner(call);
}

const caller = [
  expect.stringContaining("inner (remote-stack.test.ts)"),
  expect.stringContaining("outer (remote-stack.test.ts)"),
];

describe("the stack of an error from another actor", () => {
  async function far(
    world: World,
  ): Promise<{ portal: Portal<Exports>; flows: Portal<Flows> } & AsyncDisposable> {
    const nursery = await openNursery(world.options);
    const [portal, other] = await Promise.all([
      nursery.startActor<Exports>("far", { module }),
      nursery.startActor<Flows>("flows", { module: flows }),
    ]);
    return {
      portal,
      flows: other,
      [Symbol.asyncDispose]: async () => await nursery[Symbol.asyncDispose](),
    };
  }

  test("has the frames of the origin, each with its actor, then those of the caller, for a call with bounds", async () => {
    await using world = new World();
    await using tree = await far(world);
    const error = await failure(outer(() => tree.portal.with({ timeout: 5_000 }).run.failDeep()));
    const [first, ...rest] = framesOf(error);
    expect(first).toBe("far failDeep (exports.ts)");
    expect(rest.filter((frame) => frame.includes("remote-stack"))).toEqual([
      ...caller,
      // the test itself
      expect.stringContaining("remote-stack.test.ts"),
    ]);
    // and nothing of furrow's way back to it
    expect(error.stack).not.toContain("session.ts");
  });

  test("has the frames of a stream's reader and of a dialog's caller, too", async () => {
    await using world = new World();
    await using tree = await far(world);
    async function read(): Promise<void> {
      for await (const _ of tree.flows.stream.count(10, 0));
    }
    const streamed = framesOf(await failure(outer(read)));
    expect(streamed[0]).toBe("flows count (flows.ts)");
    // nothing of furrow's way to the generator, nor back
    expect(streamed.slice(1, 4)).toEqual([expect.stringContaining("read (remote-stack.test.ts)"), ...caller]);
    const opened = framesOf(await failure(outer(() => tree.flows.open.neverStarts("throw"))));
    expect(opened[0]).toStartWith("flows neverStarts");
    expect(opened).toEqual(expect.arrayContaining(caller));
  });

  test("of one that reaches the caller as itself is the caller's alone", async () => {
    await using world = new World();
    await using tree = await far(world);
    const run = tree.portal.with({ timeout: 5_000 }).run as unknown as Record<string, () => Promise<void>>;
    const error = await failure(outer(() => run["missing"]!()));
    expect(error).toBeInstanceOf(NotExposedError);
    expect(framesOf(error).slice(0, 2)).toEqual(caller);
    expect(error.stack).not.toContain("dispatch.ts");
    const cancelled = await failure(outer(() => tree.flows.open.neverStarts("cancel")));
    expect(cancelled).toBeInstanceOf(ContextCancelledError);
    expect(framesOf(cancelled).slice(0, 2)).toEqual(caller);
  });

  test("has the caller once, however often the error is thrown", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.flows.open.failsAfter(0);
    const errors = [
      await failure((async () => void (await dialog[Symbol.asyncIterator]().next()))()),
      await failure(dialog.result),
    ];
    expect(errors[0]).toBe(errors[1]);
    const { stack } = errors[0]!;
    expect(stack?.match(/remote-stack\.test\.ts/g)?.length ?? 0).toBeLessThan(5);
  });
});

describe("a RemoteActorError that is printed", () => {
  test("reads like a stack: message, frames with their actors, its cause, and the actor that prints it", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor("far", { module });
    const middle = await nursery.startActor<Exports>("middle", { module });
    const error = (await failure(middle.run.relay("far"))) as RemoteActorError;
    for (const text of [Bun.inspect(error), inspect(error)]) {
      const lines = linesOf(text);
      expect(lines[0]).toBe("RemoteActorError: far via middle: TypeError: outer");
      expect(lines[1]).toBe("    at far failDeep (exports.ts)");
      expect(lines).toContain("    at middle relayed (furrow)");
      expect(lines).toContain("  [cause] RangeError: inner");
      const at = lines.indexOf("  printed at:");
      expect(at).toBeGreaterThan(0);
      expect(lines[at + 1]).toContain("remote-stack.test.ts");
      for (const inside of ["relayPath", "remoteStack", "uuid", "host"]) expect(text).not.toContain(inside);
    }
    // inside of something else, and with what the error itself has
    expect(Bun.inspect({ error })).toContain("RemoteActorError: far");
    const known = (await failure(middle.run.failKnown("the detail"))) as RemoteActorError;
    expect(Bun.inspect(known)).toContain('detail: "the detail"');
    const both = (await failure(middle.run.failTwice())) as RemoteActorError;
    expect(linesOf(Bun.inspect(both))).toEqual(
      expect.arrayContaining(["  [error] TypeError: one", "  [error] RangeError: two"]),
    );
  });

  test("has no internals when a program doesn't catch it", async () => {
    await using world = new World();
    const file = join(world.dir, "uncaught.ts");
    const index = JSON.stringify(join(import.meta.dir, "../../src/index.ts"));
    await Bun.write(
      file,
      `import { openNursery } from ${index};
       await using nursery = await openNursery();
       const far = await nursery.startActor("far", { module: ${JSON.stringify(module.href)} });
       async function work() { await far.run.failDeep(); }
       await work();`,
    );
    const program = Bun.spawn([process.execPath, file], {
      env: { ...process.env, ...world.env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const [code, stderr] = await Promise.all([program.exited, program.stderr.text()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/far#[0-9a-f]{8}: TypeError: outer/);
    expect(stderr).toMatch(/at far#[0-9a-f]{8} failDeep \(/);
    for (const inside of ["relayPath", "remoteStack", "uuid", "host:"]) expect(stderr).not.toContain(inside);
  });
});
