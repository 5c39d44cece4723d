/** Golden files: what the command line printed when somebody last looked at it and found it right. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { normalise } from "./normalise.ts";

const folder = join(import.meta.dir, "../cli/golden");
const isWriting = process.env["FURROW_GOLDEN"] === "write";

/** Compares with the golden file of that name; `FURROW_GOLDEN=write` writes it instead. `clean`: takes out what varies. */
export function expectGolden(name: string, text: string, clean: (text: string) => string = normalise): void {
  const path = pathOf(name);
  const actual = clean(text);
  if (isWriting) write(path, actual);
  expect(actual).toBe(existsSync(path) ? readFileSync(path, "utf8") : `no file ${path}`);
}

/** Compares with a section of a golden file. */
export function expectSection(name: string, section: string, text: string): void {
  const sections = readSections(name);
  if (isWriting) writeSections(name, sections.set(section, text));
  expect(text).toBe(sections.get(section) ?? `no section "${section}" in ${pathOf(name)}`);
}

/** Fails if a golden file has other sections than these, or has them in another order. */
export function expectSections(name: string, wanted: readonly string[]): void {
  const sections = readSections(name);
  if (isWriting) {
    const kept = wanted.flatMap((section) => {
      const text = sections.get(section);
      return text === undefined ? [] : [[section, text] as const];
    });
    writeSections(name, new Map(kept));
  }
  expect([...readSections(name).keys()]).toEqual([...wanted]);
}

function readSections(name: string): Map<string, string> {
  const path = pathOf(name);
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const parts = text.split(/^=== (.+)\n/m).slice(1);
  const found = new Map<string, string>();
  for (let at = 0; at < parts.length; at += 2) found.set(parts[at]!, parts[at + 1]!.replace(/\n$/, ""));
  return found;
}

function writeSections(name: string, sections: ReadonlyMap<string, string>): void {
  write(pathOf(name), Array.from(sections, ([section, text]) => `=== ${section}\n${text}\n`).join(""));
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function pathOf(name: string): string {
  return join(folder, `${name}.txt`);
}
