/** Reading the repository's documents: their code blocks, their tables, and the tests that they name. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { World } from "./world.ts";

export const root: string = join(import.meta.dir, "..", "..");

export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** The text below a heading of the second level, up to the next one. */
export function section(document: string, heading: string): string {
  const [, after] = document.split(`\n## ${heading}\n`);
  if (after === undefined) throw new Error(`no section "${heading}"`);
  return after.split("\n## ")[0]!;
}

export interface Block {
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a document, in order. */
export function blocks(document: string): Block[] {
  return Array.from(document.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language = "", text = ""]) => ({
    language,
    text,
  }));
}

/** The cells of each row of a document's tables whose first cell matches. */
export function rows(document: string, first: RegExp): string[][] {
  return document
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .filter(([cell = ""]) => first.test(cell));
}

/** The titles of a file's tests, as patterns: a hole of a template, or `%s` and its like, stand for any text. */
function titles(file: string): RegExp[] {
  // `test("…"`, `test.skipIf(…)("…"`, `test.each(…)("…"`
  const found = read(file).matchAll(
    /(?:\btest(?:\.skipIf\([^)]*\))?|\]\)|\bas const\)|\btest\.each\(\w+\))\(\s*(["`])((?:(?!\1)[^\\]|\\.)*)\1/g,
  );
  return Array.from(found, ([, , title = ""]) => {
    const parts = title
      .split(/\$\{[^}]*\}|%[a-z]/)
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join(".+")}$`);
  });
}

/** Whether the file has a test of that title. */
export function hasTest(file: string, title: string): boolean {
  return existsSync(join(root, file)) && titles(file).some((pattern) => pattern.test(title));
}

/** Runs a program of a document, under the name in its first line, and compares what it prints. */
export async function expectOutput(program: string, output: string): Promise<void> {
  await using world = new World();
  const [, name = ""] = /^\/\/ (\S+\.ts)\n/.exec(program) ?? [];
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build", "document-"));
  try {
    await Bun.write(join(folder, name), program);
    const run = Bun.spawn([process.execPath, name], {
      cwd: folder,
      env: { ...process.env, ...world.env },
      stdout: "pipe",
      stderr: "pipe",
    });
    const anonymous = (text: string): string => text.replaceAll(/#[0-9a-f]{8}/g, "#<uuid>");
    expect(await run.stderr.text()).toBe("");
    expect(anonymous(await run.stdout.text())).toBe(anonymous(output));
    expect(await run.exited).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
