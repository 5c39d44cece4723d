/** The output of children that is kept, and `furrow.logs`, which reads it from outside. */
import { describe, expect, test } from "bun:test";

import { type Actor, findActor, openRootActor, type Portal } from "../../src/index.ts";
import type { LogGap, LogLine, LogOptions } from "../../src/tree/logs.ts";
import { failure } from "../support/outcome.ts";
import { type Program, until, World } from "../support/world.ts";

const module = new URL("../fixtures/writes.ts", import.meta.url).href;
type Writes = typeof import("../fixtures/writes.ts");
type Item = LogLine | LogGap;

/** How much an actor keeps of a child's output, with what it needs for each line. */
const keptBytes = 262_144;
const bytesPerLine = 16;

/** A program named `shop` whose nursery was opened with these options, and this process as one that looks at it. */
async function openShop(
  world: World,
  options: Record<string, unknown> = { output: "keep" },
): Promise<{ shop: Program; root: Actor }> {
  const shop = await world.program();
  await shop.run(
    async ({ furrow, keep, args }) => {
      keep["nursery"] = await furrow.openNursery(args[0] as object);
    },
    { name: "shop", enableTransports: ["unix", "tcp"], ...options },
  );
  return { shop, root: await openRootActor({ ...world.options, name: "looker" }) };
}

async function start(
  shop: Program,
  name: string,
  options: Record<string, unknown> = {},
): Promise<Portal<Writes>> {
  await shop.run(
    async ({ furrow, keep, args }) => {
      await (keep["nursery"] as Awaited<ReturnType<typeof furrow.openNursery>>).startActor(
        args[0] as string,
        args[1] as object,
      );
    },
    name,
    { module, ...options },
  );
  return await findActor<Writes>(name, { raiseOnNone: true });
}

/** The stream of the built-in function. */
async function logsOf(actor: string, options?: LogOptions): Promise<AsyncIterableIterator<Item>> {
  const portal = await findActor(actor, { raiseOnNone: true });
  return portal.stream["furrow.logs"]!(options) as AsyncIterableIterator<Item>;
}

async function linesOf(actor: string, options?: LogOptions): Promise<Item[]> {
  return await Array.fromAsync(await logsOf(actor, options));
}

async function textsOf(actor: string, options?: LogOptions): Promise<string[]> {
  return (await linesOf(actor, options)).map((item) => (item.type === "line" ? item.text : "missed"));
}

/** Reads as many items as there are in the expected list. */
async function take(source: AsyncIterator<Item>, count: number): Promise<Item[]> {
  const items: Item[] = [];
  while (items.length < count) items.push((await source.next()).value as Item);
  return items;
}

describe("output: keep", () => {
  test("passes on what a child writes, and keeps it with time, process and stream", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world, {});
    await using _ = root;
    const before = Date.now();
    const web = await start(shop, "web", { output: "keep" });
    await web.run.write("out 1\nout 2\n");
    await web.run.write("err 1\n", "stderr");
    await until(async () => (await textsOf("shop")).length === 3);
    const pid = await web.run.pid();
    const lines = (await linesOf("shop")) as LogLine[];
    const line = { type: "line", actor: "web", uuid: web.id.uuid, pid, continues: false } as const;
    const byText = lines.toSorted((a, b) => a.text.localeCompare(b.text));
    expect(byText.map(({ time: __, ...rest }) => rest)).toEqual([
      { ...line, stream: "stderr", text: "err 1" },
      { ...line, stream: "stdout", text: "out 1" },
      { ...line, stream: "stdout", text: "out 2" },
    ]);
    for (const { time } of lines) {
      expect(time).toBeGreaterThanOrEqual(before);
      expect(time).toBeLessThanOrEqual(Date.now());
    }
    shop.process.kill();
    expect(await shop.stdout).toBe("out 1\nout 2\n");
    expect(await shop.stderr).toContain("err 1\n");
  });

  test("of openNursery is for all actors below it that say nothing else", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const loud = await start(shop, "loud");
    const quiet = await start(shop, "quiet", { output: "ignore" });
    await quiet.run.write("quiet\n");
    await quiet.run.write("quiet\n", "stderr");
    // an actor answers for its own children only
    for (const [nursery, below] of [
      [undefined, "below"],
      ["ignore", "silent"],
    ] as const) {
      await loud.run.startBelow(below, nursery);
      await using portal = await findActor<Writes>(below, { raiseOnNone: true });
      await portal.run.write(`${below}\n`);
    }
    await loud.run.write("loud\n");
    await until(async () => (await textsOf("shop", { tail: 1 }))[0] === "loud");
    await until(async () => (await textsOf("loud")).length > 0);
    expect(await textsOf("loud")).toEqual(["below"]);
    // what it passes on is its own output
    expect(await textsOf("shop")).toEqual(["below", "loud"]);
  });

  test("cuts what never ends a line, whole characters only, and bounds what it keeps", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web");
    await web.run.writeWithoutNewline(10_000_000);
    await web.run.write("end\n");
    await until(async () => (await textsOf("shop", { tail: 1 }))[0]?.endsWith("end") === true);
    const lines = (await linesOf("shop")) as LogLine[];
    expect(lines.map(({ continues }) => continues)).toEqual(lines.map((__, at) => at < lines.length - 1));
    const text = lines.map((line) => line.text).join("");
    expect(text).toMatch(/^y+end$/);
    expect(text.length + bytesPerLine * lines.length).toBeLessThanOrEqual(keptBytes);
    expect(text.length).toBeGreaterThan(keptBytes - 2 * 16_384);
  });

  test("takes binary bytes, and characters that arrive in pieces", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web");
    await web.run.writeBytes(new Uint8Array([0xff, 0x00, 0x61, 0xc3, 0x0a]));
    await web.run.writeSlowly("naïve €🙂\n");
    await web.run.writeBytes(new Uint8Array(Array.from({ length: 100_000 }, (__, at) => (at * 7) % 256)));
    await web.run.write("\nend\n");
    await until(async () => (await textsOf("shop", { tail: 1 }))[0] === "end");
    const texts = await textsOf("shop");
    expect(texts.slice(0, 2)).toEqual(["\ufffd\0a\ufffd", "naïve €🙂"]);
  });

  test("keeps the last 256 KiB of a flood, and no more memory than that", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web");
    await web.run.writeLines(20_000, 600);
    const rss = (): Promise<number> => shop.run(() => process.memoryUsage.rss());
    const warm = await rss();
    const count = 100_000;
    await web.run.writeLines(count, 600);
    await until(
      async () => (await textsOf("shop", { tail: 1 }))[0]?.startsWith(`${count - 1} `) === true,
      20_000,
    );
    const texts = await textsOf("shop");
    const size = texts.reduce((sum, text) => sum + bytesPerLine + text.length, 0);
    expect(size).toBeLessThanOrEqual(keptBytes);
    expect(size).toBeGreaterThan(keptBytes - 700);
    const first = count - texts.length;
    expect(texts.map((text) => text.split(" ")[0])).toEqual(texts.map((__, at) => `${first + at}`));
    // it wrote 60 MB
    const grown = (await rss()) - warm;
    expect(grown).toBeLessThan(30_000_000);
  }, 40_000);

  test("goes on through restarts, and after the end of the child", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world, { output: "keep", strategy: "one-for-one" });
    await using _ = root;
    const web = await start(shop, "web", {
      restart: { when: "on-failure", maxRestarts: 1, backoffMs: [0, 0] },
    });
    await web.run.write("first life\n");
    await web.run.fail(3);
    await web.closed;
    let again: Portal<Writes> | null = null;
    await until(
      async () => (again = await findActor<Writes>("web")) !== null && again.id.uuid !== web.id.uuid,
    );
    await again!.run.write("second life\nlast words");
    await again!.run.fail(4);
    await again!.closed;
    let lines: LogLine[] = [];
    await until(async () => (lines = (await linesOf("shop")) as LogLine[])[2]?.continues === false);
    expect(lines.map(({ text, uuid, continues }) => [text, uuid, continues])).toEqual([
      ["first life", web.id.uuid, false],
      ["second life", again!.id.uuid, false],
      ["last words", again!.id.uuid, false],
    ]);
    expect(await textsOf("shop", { uuid: web.id.uuid })).toEqual(["first life"]);
  });

  test("keeps the output of the last eight children that have ended", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    for (let n = 0; n < 10; n++) {
      const child = await start(shop, `job-${n}`);
      await child.run.write(`${n}\n`);
      await child.cancelActor();
      await child.closed;
    }
    await until(
      async () =>
        (await shop.run(({ keep }) => (keep["nursery"] as { children: unknown[] }).children.length)) === 0,
    );
    await until(async () => (await textsOf("shop")).length === 8);
    expect(await textsOf("shop")).toEqual(["2", "3", "4", "5", "6", "7", "8", "9"]);
  }, 30_000);

  test("that isn't a mode is a RangeError, of startActor and of openNursery", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world, {});
    await using _ = root;
    const expected = 'output must be "inherit", "prefix", "keep" or "ignore", got "kept"';
    expect(await failure(start(shop, "web", { output: "kept" }))).toMatchObject({
      name: "RangeError",
      message: expected,
    });
    const program = await world.program();
    const opened = program.run(async ({ furrow }) => {
      await furrow.openNursery({ output: "kept" as "keep" });
    });
    expect(await failure(opened)).toMatchObject({ name: "RangeError", message: expected });
  });
});

describe("furrow.logs", () => {
  test("gives the lines of several children in the order of their times, or those of a name", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const [web1, web2, db] = [
      await start(shop, "web-1"),
      await start(shop, "web-2"),
      await start(shop, "db"),
    ];
    for (const [at, child] of [web1, web2, db, web1, db].entries()) {
      await child.run.write(`${child.id.name} ${at}\n`);
      await until(async () => (await textsOf("shop")).length === at + 1);
      await Bun.sleep(2); // so that no two have the same time
    }
    expect(await textsOf("shop")).toEqual(["web-1 0", "web-2 1", "db 2", "web-1 3", "db 4"]);
    expect(await textsOf("shop", { name: "web-*" })).toEqual(["web-1 0", "web-2 1", "web-1 3"]);
    expect(await textsOf("shop", { name: "db" })).toEqual(["db 2", "db 4"]);
    expect(await textsOf("shop", { name: "nobody" })).toEqual([]);
    expect(await textsOf("shop", { uuid: web1.id.uuid })).toEqual(["web-1 0", "web-1 3"]);
    expect(await textsOf("shop", { tail: 1 })).toEqual(["web-2 1", "web-1 3", "db 4"]);
    expect(await textsOf("shop", { tail: 0 })).toEqual([]);
    const [, , third] = (await linesOf("shop")) as LogLine[];
    expect(await textsOf("shop", { since: third!.time })).toEqual(["db 2", "web-1 3", "db 4"]);
    expect(await textsOf("shop", { since: third!.time, tail: 1, name: "db" })).toEqual(["db 4"]);
    // an actor without kept children has nothing to tell
    expect(await textsOf("db")).toEqual([]);
  });

  test("shows a line that hasn't ended yet", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web");
    await web.run.write("whole\nhalf a li");
    await until(async () => (await textsOf("shop")).length === 2);
    const [, half] = (await linesOf("shop")) as LogLine[];
    expect([half!.text, half!.continues, half!.uuid]).toEqual(["half a li", true, web.id.uuid]);
    await web.run.write("ne\n");
    await until(async () => (await textsOf("shop"))[1] === "half a line");
  });

  test("follows the lines to come, those of new children and of restarts included, and ends when it is left", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web", { restart: { when: "always", backoffMs: [0, 0] } });
    await web.run.write("1\n2\n3\n");
    await until(async () => (await textsOf("shop")).length === 3);
    const logs = await logsOf("shop", { follow: true, tail: 2 });
    const texts = async (count: number): Promise<string[]> =>
      (await take(logs, count)).map((item) => (item as LogLine).text);
    expect(await texts(2)).toEqual(["2", "3"]);
    await web.run.write("4\n");
    expect(await texts(1)).toEqual(["4"]);
    const other = await start(shop, "other");
    await other.run.write("5\n");
    expect(await texts(1)).toEqual(["5"]);
    await web.run.fail(0);
    await web.closed;
    let again: Portal<Writes> | null = null;
    await until(
      async () => (again = await findActor<Writes>("web")) !== null && again.id.uuid !== web.id.uuid,
    );
    await again!.run.write("6\n");
    expect(await texts(1)).toEqual(["6"]);
    await logs.return?.();
    expect(await logs.next()).toEqual({ done: true, value: undefined });
    await until(
      async () => (await shop.run(({ furrow }) => furrow.currentActor().stats().callsInFlight)) === 0,
    );
  });

  test("tells a slow reader how much it has missed, and keeps nothing for it", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web");
    const logs = await logsOf("shop", { follow: true });
    await web.run.write("begin\n");
    expect(((await logs.next()).value as LogLine).text).toBe("begin");
    const count = 100_000;
    await web.run.writeLines(count);
    await web.run.write("end\n");
    await until(async () => (await textsOf("shop", { tail: 1 }))[0] === "end", 20_000);
    let lines = 0;
    let missed = 0;
    let last: string | undefined;
    while (last !== "end") {
      const item = (await logs.next()).value as Item;
      if (item.type === "missed") {
        expect(item.actor).toBe("web");
        missed += item.lines;
        continue;
      }
      lines++;
      last = item.text;
    }
    expect(missed).toBeGreaterThan(0);
    expect(lines + missed).toBe(count + 1);
    await logs.return?.();
  }, 40_000);

  test("is served while the actor drains, and ends with it", async () => {
    await using world = new World();
    const { shop, root } = await openShop(world);
    await using _ = root;
    const web = await start(shop, "web");
    await web.run.write("1\n");
    const logs = await logsOf("shop", { follow: true });
    expect((await take(logs, 1))[0]).toMatchObject({ text: "1" });
    const ended = failure(logs.next());
    await shop.run(async ({ furrow }) => await furrow.currentActor().drain({ timeout: 60_000 }));
    expect((await ended).name).toMatch(/ContextCancelledError|TransportClosedError/);
  });

  test.each([
    [{ tail: -1 }, "tail must be a non-negative integer"],
    [{ tail: 1.5, follow: "yes" }, "tail must be a non-negative integer; follow must be true or false"],
    [{ since: "5m" }, "since must be in milliseconds since 1970"],
    [{ uuid: 7 }, "uuid must be a text"],
    [{ name: "a*b" }, 'pattern "a*b" has a star before its end'],
    [7, "logs takes an object of options"],
  ])("refuses options like %j", async (options, text) => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    const error = await failure(linesOf("root", options as LogOptions));
    expect(error.message).toContain(text);
  });
});
