/** The runtime's log: its levels, its two formats, and who gets it. */
import { describe, expect, test } from "bun:test";

import { logLevel, type LogRecord } from "../src/log.ts";
import type { Scope } from "./fixtures/program.ts";
import { type Program, World } from "./support/world.ts";

/** What a program's own code keeps for the test. */
interface Kept {
  readonly records: LogRecord[];
  readonly stop: () => void;
}

/** Ends the program in order; returns the lines of its stderr. */
async function linesOf(program: Program): Promise<string[]> {
  await program.run(async ({ furrow }) => await furrow.currentActor().cancel());
  program.process.kill();
  return (await program.stderr).split("\n").filter((line) => line !== "");
}

/** Sent to the program: keeps what `onLog` hands out. */
function listen({ furrow, keep }: Scope): void {
  const records: LogRecord[] = [];
  keep["kept"] = { records, stop: furrow.onLog((record) => records.push(record)) };
}

const startChild = async ({ furrow, keep, args }: Scope): Promise<void> => {
  const nursery = await furrow.openNursery();
  keep["nursery"] = nursery;
  await nursery.startActor("child", args[0] as object);
};

describe("FURROW_LOG_FORMAT", () => {
  test("json prints one object per line, in every process of the tree, with the actor that logs", async () => {
    await using world = new World();
    const env = { FURROW_LOG: "actor=info,tree=info", FURROW_LOG_FORMAT: "json" };
    const program = await world.actor("shop", {}, env);
    await program.run(startChild, {});
    const lines = (await linesOf(program)).map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(["time", "level", "actor", "uuid", "pid", "layer", "msg"]);
      expect(new Date(line["time"] as string).toISOString()).toBe(line["time"] as string);
    }
    const spawned = lines.find(({ msg }) => String(msg).startsWith("spawned child#"));
    expect(spawned).toMatchObject({ level: "info", actor: "shop", pid: program.pid, layer: "tree" });
    const ended = lines.find(({ actor, layer }) => actor === "child" && layer === "actor");
    expect(String(spawned!["msg"])).toContain(`child#${String(ended!["uuid"]).slice(0, 8)}`);
    expect(ended!["pid"]).not.toBe(program.pid);
  });

  test("keeps a message of several lines on one", async () => {
    await using world = new World();
    const program = await world.actor("shop", {}, { FURROW_LOG: "tree=info", FURROW_LOG_FORMAT: "json" });
    const module = new URL("./fixtures/dies-at-start.ts", import.meta.url).href;
    await program.run(async ({ furrow, args }) => {
      const nursery = await furrow.openNursery();
      await nursery
        .startActor("child", { module: args[0] as string, restart: "always" })
        .catch(() => undefined);
      await nursery[Symbol.asyncDispose]();
    }, module);
    const lines = await linesOf(program);
    expect(lines.length).toBeGreaterThan(0);
    const own = lines.filter((line) => line.startsWith("{"));
    expect(own.map((line) => (JSON.parse(line) as { layer: string }).layer)).toContain("tree");
  });

  test.each([
    [
      { FURROW_LOG_FORMAT: "jsn" },
      'furrow: FURROW_LOG_FORMAT must be "text" or "json", got "jsn": using text',
    ],
    [
      { FURROW_LOG: "dbug" },
      'furrow: FURROW_LOG has the unknown level "dbug" (known: debug, info, warn, error, off)',
    ],
    [
      { FURROW_LOG: "warn,tre=info" },
      'furrow: FURROW_LOG has the unknown layer "tre" (known: transport, channel, rpc, actor, discovery, tree)',
    ],
  ])("and FURROW_LOG that mean nothing are reported, once in a tree: %j", async (env, line) => {
    await using world = new World();
    const program = await world.actor("shop", {}, env);
    await program.run(startChild, {});
    expect(await linesOf(program)).toEqual([line]);
  });

  test("that means nothing is reported by a client, too", async () => {
    await using world = new World();
    await world.actor("shop");
    const program = await world.program({ FURROW_LOG_FORMAT: "jsn" });
    await program.run(async ({ furrow }) => {
      await using _ = await furrow.openClient();
    });
    program.process.kill();
    expect(await program.stderr).toBe(
      'furrow: FURROW_LOG_FORMAT must be "text" or "json", got "jsn": using text\n',
    );
  });

  test("that means nothing in the env of startActor is reported with the actor's name", async () => {
    await using world = new World();
    const program = await world.actor("shop");
    await program.run(startChild, { env: { FURROW_LOG_FORMAT: "xml" } });
    expect(await linesOf(program)).toEqual([
      'furrow: actor "child": FURROW_LOG_FORMAT must be "text" or "json", got "xml": using text',
    ]);
  });

  test("and FURROW_LOG may be empty, text and off", async () => {
    await using world = new World();
    for (const env of [
      { FURROW_LOG: "", FURROW_LOG_FORMAT: "" },
      { FURROW_LOG: "off", FURROW_LOG_FORMAT: "text" },
    ]) {
      const program = await world.actor("shop", {}, env);
      expect(await linesOf(program)).toEqual([]);
    }
  });
});

describe("onLog", () => {
  test("gets info and above where FURROW_LOG isn't set, and nothing is printed", async () => {
    await using world = new World();
    const program = await world.actor("shop");
    await program.run(listen);
    await program.run(startChild, {});
    const records = await program.run(({ keep }) => (keep["kept"] as Kept).records);
    const spawned = records.find(({ msg }) => msg.startsWith("spawned child#"))!;
    expect(Object.keys(spawned)).toEqual(["time", "level", "actor", "uuid", "pid", "layer", "msg"]);
    expect(spawned).toMatchObject({ level: "info", actor: "shop", pid: program.pid, layer: "tree" });
    expect(Math.abs(spawned.time - Date.now())).toBeLessThan(60_000);
    expect(records.filter(({ level }) => level === "debug")).toEqual([]);
    expect(await linesOf(program)).toEqual([]);
  });

  test("gets what FURROW_LOG turns on, in place of stderr, until it is taken back", async () => {
    await using world = new World();
    const program = await world.actor("shop", {}, { FURROW_LOG: "tree=info" });
    await program.run(listen);
    await program.run(startChild, {});
    const layers = await program.run(({ keep }) => {
      const kept = keep["kept"] as Kept;
      kept.stop();
      return kept.records.map(({ layer }) => layer);
    });
    expect(new Set(layers)).toEqual(new Set(["tree"]));
    const lines = await linesOf(program);
    expect(lines.filter((line) => line.includes(`shop[${program.pid}] tree: spawned`))).toEqual([]);
    expect(lines.filter((line) => line.includes(`shop[${program.pid}] tree: child#`))).toHaveLength(1);
  });

  test("turns everything off again when the last listener leaves and FURROW_LOG isn't set", async () => {
    await using world = new World();
    const program = await world.actor("shop");
    await program.run(listen);
    const count = await program.run(async ({ furrow, keep }) => {
      const { stop, records } = keep["kept"] as Kept;
      stop();
      const before = records.length;
      const nursery = await furrow.openNursery();
      await nursery.startActor("child", {});
      await nursery[Symbol.asyncDispose]();
      return records.length - before;
    });
    expect(count).toBe(0);
    expect(await linesOf(program)).toEqual([]);
  });

  test("that throws has the record printed after all, and the other listeners get it", async () => {
    await using world = new World();
    const program = await world.actor("shop", {}, { FURROW_LOG: "tree=info" });
    await program.run(({ furrow }) => {
      furrow.onLog(() => {
        throw new Error("disk full");
      });
    });
    await program.run(listen);
    await program.run(startChild, {});
    const records = await program.run(({ keep }) => (keep["kept"] as Kept).records.length);
    expect(records).toBeGreaterThan(0);
    const lines = await linesOf(program);
    expect(
      lines.filter((line) => line.endsWith("(a listener of onLog threw: Error: disk full)")).length,
    ).toBeGreaterThanOrEqual(records);
  });

  test("isn't handed what the runtime logs because of it", async () => {
    await using world = new World();
    const program = await world.actor("shop", {}, { FURROW_LOG: "debug" });
    const depth = await program.run(async ({ furrow, keep }) => {
      let inside = 0;
      let deepest = 0;
      furrow.onLog(() => {
        deepest = Math.max(deepest, ++inside);
        // which logs in turn
        void furrow.findActor(`nobody${deepest}`).catch(() => undefined);
        inside--;
      });
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      await nursery.startActor("child", {});
      return deepest;
    });
    expect(depth).toBe(1);
    await linesOf(program);
  });
});

describe("logLevel", () => {
  test.each([
    [undefined, undefined],
    ["", undefined],
    ["off", undefined],
    ["debug", "debug"],
    ["tree=info", "info"],
    ["channel=info", undefined],
    ["info,tree=debug", "debug"],
    ["info, tree = off", undefined],
  ])("of %j for tree is %j", (setting, level) => {
    expect(logLevel(setting, "tree")).toBe(level as never);
  });
});
