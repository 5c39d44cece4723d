/** The guide and the recipes can be followed literally, from an empty folder on. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { openRegistry } from "./support/npm-registry.ts";
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
  for (const name of documents) rmSync(runtimeDir(name), { recursive: true, force: true });
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
