/** `--ui` of `furrow dev` and `furrow run`: the page of the tree that the command runs. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { ServerMessage } from "../../src/page/protocol.ts";
import { furrow } from "../support/command-line.ts";
import { Command } from "../support/command.ts";
import { admit, LivePage } from "../support/page-client.ts";
import { World } from "../support/world.ts";

const library = join(import.meta.dir, "../../src/index.ts");

/** A program with one actor besides its root; it prints "up" when that has started. */
class Shop implements AsyncDisposable {
  readonly world: World = new World();
  readonly file: string;
  readonly #folder: string;

  constructor() {
    this.#folder = join(this.world.dir, "shop");
    mkdirSync(this.#folder);
    this.file = join(this.#folder, "shop.ts");
    writeFileSync(join(this.#folder, "worker.ts"), "export function nothing() {}");
    this.write("market");
  }

  /** A version whose actor has this name; undefined: it can't be loaded. */
  write(actor: string | undefined): void {
    writeFileSync(
      this.file,
      actor === undefined
        ? "const = 1;"
        : `import { openNursery } from ${JSON.stringify(library)};
           await using nursery = await openNursery({ name: "shop" });
           await nursery.startActor(${JSON.stringify(actor)}, { module: new URL("./worker.ts", import.meta.url) });
           console.log("up");
           await nursery.join();`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}

/** The names of the actors in a message; those that have gone aren't in it. */
function present(message: ServerMessage): readonly string[] {
  return message.type === "actors" ? message.present.map(({ name }) => name) : [];
}

/** Resolves when the page has been told of an actor, and has had a sample of it. */
async function shows(live: LivePage, name: string, from = 0): Promise<void> {
  const uuid = await live.until(
    (message) =>
      message.type === "actors" ? message.present.find((actor) => actor.name === name)?.uuid : undefined,
    from,
  );
  await live.until(
    (message) =>
      message.type === "samples" ? message.samples.find((sample) => sample.uuid === uuid) : undefined,
    from,
  );
}

async function open(url: string): Promise<LivePage> {
  const live = await LivePage.open(await admit({ url }));
  live.show();
  return live;
}

const link = /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{22}\/\?token=[\w-]{22}$/;

describe("furrow dev --ui", () => {
  test("prints a link first; its page shows the program's actors, and stays when the program restarts", async () => {
    await using shop = new Shop();
    await using command = new Command(shop.world, ["dev", shop.file, "--ui", "--no-open"]);
    const url = await command.line();
    expect(url).toMatch(link);
    using live = await open(url);
    await shows(live, "shop");
    await shows(live, "market");
    expect(await command.line()).toBe("up");
    const from = live.received.length;
    shop.write("ledger");
    await shows(live, "ledger", from);
    const gone = live.received.slice(from).flatMap((one) => (one.type === "actors" ? one.gone : []));
    const before = live.received.slice(0, from).flatMap((one) => (one.type === "actors" ? one.present : []));
    expect(new Set(gone)).toEqual(new Set(before.map(({ uuid }) => uuid)));
    expect(await command.ended("SIGTERM")).toBe(143);
    await live.closed;
  });

  test("serves the page while there is no program yet, and says so", async () => {
    await using shop = new Shop();
    shop.write(undefined);
    await using command = new Command(shop.world, ["dev", shop.file, "--ui", "--no-open"]);
    using live = await open(await command.line());
    const { trouble } = await live.until((message) =>
      message.type === "registry" && message.trouble !== null ? message : undefined,
    );
    expect(trouble).toContain("no registrar answers");
    shop.write("market");
    await shows(live, "market");
    const last = live.received.findLast((message) => message.type === "registry");
    expect(last).toEqual({ type: "registry", trouble: null });
    expect(await command.ended("SIGINT")).toBe(130);
  });

  test("only looks, unless --allow-actions is given", async () => {
    await using shop = new Shop();
    for (const [flags, mayAct] of [
      [[], false],
      [["--allow-actions"], true],
    ] as const) {
      await using command = new Command(shop.world, ["dev", shop.file, "--ui", "--no-open", ...flags]);
      using live = await open(await command.line());
      const hello = await live.until((message) => (message.type === "hello" ? message : undefined));
      expect(hello).toMatchObject({ mayAct, registryAddrs: shop.world.registryAddrs });
      expect(await command.ended("SIGINT")).toBe(130);
    }
  });

  test("is refused where the page can't be, before the program runs", async () => {
    await using shop = new Shop();
    using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const taken = await furrow(shop.world.env, ["dev", shop.file, "--ui", "--port", String(listener.port)]);
    expect([taken.exitCode, taken.stdout]).toEqual([1, ""]);
    expect(taken.stderr).toContain(`cannot serve the page on port ${listener.port}`);
    for (const command of ["dev", "run"])
      for (const flags of [["--port", "8080"], ["--no-open"], ["--allow-actions"]]) {
        const { exitCode, stdout, stderr } = await furrow(shop.world.env, [command, shop.file, ...flags]);
        expect([exitCode, stdout]).toEqual([2, ""]);
        expect(stderr).toBe(
          `furrow: ${flags[0]} is an option of the page: add --ui, or write the program's own options after --\n`,
        );
      }
  });
});

describe("furrow run --ui", () => {
  test("prints a link first; its page shows the command's root and the program's actors", async () => {
    await using shop = new Shop();
    await using command = new Command(shop.world, ["run", shop.file, "--ui", "--no-open"]);
    const url = await command.line();
    expect(url).toMatch(link);
    using live = await open(url);
    for (const name of ["run-shop", "shop", "market"]) await shows(live, name);
    expect(live.received.some((message) => present(message).includes("market"))).toBeTrue();
    expect(await command.ended("SIGTERM")).toBe(143);
    await live.closed;
  });

  test("shows an actor that it runs from its module", async () => {
    await using shop = new Shop();
    const worker = join(shop.file, "../worker.ts");
    const words = ["run", worker, "--actor", "quotes", "--ui", "--no-open"];
    await using command = new Command(shop.world, words);
    using live = await open(await command.line());
    await shows(live, "quotes");
    expect(await command.ended("SIGINT")).toBe(130);
  });
});
