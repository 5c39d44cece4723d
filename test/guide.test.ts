/** The guide and the recipes can be followed literally, from an empty folder on; so can the shortest way, of two commands. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { Chromium, findChromium } from "./support/chromium.ts";
import { linesOf } from "./support/command-line.ts";
import { read, section } from "./support/documents.ts";
import { openRegistry } from "./support/npm-registry.ts";
import { admit, LivePage } from "./support/page-client.ts";
import { type Block, blocksOf, Reader } from "./support/transcript.ts";
import { freePort } from "./support/world.ts";

const root = join(import.meta.dir, "..");
const followMs = 60_000;
const documents = ["guide.md", "recipes.md"] as const;

let folder: string;
/** The documents' ports, and free ones to use in their place, by document. */
const ports: Record<string, string> = {};
let registry: Awaited<ReturnType<typeof openRegistry>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "furrow-guide-"));
  mkdirSync(join(folder, "checkout"));
  registry = await openRegistry(join(folder, "checkout"));
}, followMs);
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
  for (const name of [...documents, "page.md"]) rmSync(runtimeDir(name), { recursive: true, force: true });
});

/** A folder of programs that the documents expect on any machine, and that this one lacks. */
function standIns(): string {
  const bin = join(folder, "stand-ins");
  mkdirSync(bin, { recursive: true });
  const curl = `#!/usr/bin/env bun
const url = new URL("http://" + process.argv.at(-1));
process.stdout.write(await (await fetch(url)).text());
`;
  if (Bun.which("curl") === null) writeFileSync(join(bin, "curl"), curl, { mode: 0o755 });
  return bin;
}

/** Of one document: below the file's own, where the leak check looks. */
function runtimeDir(name: string): string {
  return join(process.env["FURROW_RUNTIME_DIR"]!, name);
}

/** The environment of a new user: an empty home, and nothing of furrow's. */
function newcomer(home: string, name: string): Record<string, string | undefined> {
  return {
    PATH: `${dirname(process.execPath)}:${standIns()}:${process.env["PATH"]}`,
    HOME: home,
    // programs that look whether they write to a terminal print what they print there
    FORCE_COLOR: "1",
    BUN_CONFIG_REGISTRY: registry.url,
    FURROW_RUNTIME_DIR: runtimeDir(name),
  };
}

/** Follows a document in an empty folder; those after the guide begin where its step 1 ends. */
async function follow(name: string): Promise<void> {
  const home = join(folder, name);
  mkdirSync(home);
  await using reader = new Reader(home, newcomer(home, name));
  const [setUp] = blocks("guide.md").filter(({ language, isSkipped }) => language === "sh" && !isSkipped);
  if (name !== "guide.md") await reader.follow(setUp!);
  for (const block of blocks(name)) await reader.follow(block);
  await reader.finish();
  await reader.follow({
    language: "sh",
    text: "bun check",
    place: `types of docs/${name}`,
    isSkipped: false,
  });
}

function blocks(name: string): Block[] {
  const text = readFileSync(join(root, "docs", name), "utf8");
  return blocksOf(
    text.replaceAll(
      /(?<=:|port: )(?:3000|4318|6499|9464)\b/g,
      (port) => (ports[`${name} ${port}`] ??= String(freePort())),
    ),
    `docs/${name}`,
  );
}

/** What became of each: they are followed side by side, since each mostly waits. */
const followed = new Map<string, Promise<PromiseSettledResult<void>[]>>();

beforeAll(() => {
  for (const name of documents) followed.set(name, Promise.allSettled([follow(name)]));
});

async function outcome(name: string): Promise<void> {
  for (const result of (await followed.get(name)) ?? [])
    if (result.status === "rejected") throw result.reason;
}

describe("docs/guide.md", () => {
  test(
    "leads from an empty folder to a tested service, and shows what its commands print",
    async () => await outcome("guide.md"),
    followMs,
  );
});

describe("docs/recipes.md", () => {
  test("has programs that do what it says", async () => await outcome("recipes.md"), followMs);
});

/** Somebody's program, in a folder with nothing else. */
const shop = `import { openNursery } from "furrow";

export function getPrice(symbol: string): number {
  return symbol.length;
}

if (import.meta.main) {
  await using nursery = await openNursery({ name: "shop" });
  await nursery.startActor("market", { module: import.meta.url });
  await nursery.join();
}
`;

describe("docs/page.md", () => {
  test(
    "has two commands that lead from a program's folder to a page that shows its tree",
    async () => {
      const commands = Array.from(
        section(read("docs/page.md"), "In two commands").matchAll(/^\$ (.+)$/gm),
        ([, command = ""]) => command,
      );
      expect(commands.length).toBe(2);
      const home = join(folder, "page.md");
      mkdirSync(home);
      writeFileSync(join(home, "shop.ts"), shop);
      const run = (command: string | undefined): Bun.Subprocess<"ignore", "pipe", "inherit"> =>
        Bun.spawn(["bash", "-c", `exec ${command}`], {
          cwd: home,
          env: newcomer(home, "page.md"),
          stdio: ["ignore", "pipe", "inherit"],
        });
      const began = performance.now();
      const adding = run(commands[0]);
      expect(await adding.exited).toBe(0);
      const added = performance.now();
      const running = run(commands[1]);
      try {
        const { value: url } = await linesOf(running.stdout).next();
        const shown = await shownBy(url!);
        const times = [added - began, shown - added, shown - began].map((ms) => (ms / 1_000).toFixed(2));
        console.log(
          `first time: ${commands.length} commands; ${times[0]} s to add the package, ${times[1]} s until the page shows the tree, ${times[2]} s in all`,
        );
      } finally {
        running.kill("SIGTERM");
        expect(await running.exited).toBe(143);
      }
    },
    followMs,
  );
});

/** Opens the link, in a browser if there is one; resolves with the time when both actors are shown, each with a sample of it. */
async function shownBy(url: string): Promise<number> {
  const command = findChromium();
  if (command === undefined) {
    using live = await LivePage.open(await admit({ url }));
    live.show();
    const seen = new Set<string>();
    await live.until((message) => {
      if (message.type === "samples") for (const { uuid } of message.samples) seen.add(uuid);
      return seen.size === 2 ? true : undefined;
    });
    const names = live.received.flatMap((one) => (one.type === "actors" ? one.present : []));
    expect(new Set(names.map(({ name }) => name))).toEqual(new Set(["shop", "market"]));
    return performance.now();
  }
  await using chromium = await Chromium.start(command);
  const page = await chromium.open(url);
  const rows = `[...document.querySelectorAll(".row[aria-level]")].map((row) => row.innerText.replaceAll(/\\s+/g, " "))`;
  await page.until(
    `((rows) => /shop.*● ready \\d+ \\d+M/.test(rows[0]) && /market.*● ready \\d+ \\d+M/.test(rows[1]))(${rows})`,
  );
  expect(page.complaints).toEqual([]);
  return performance.now();
}
