/** docs/cli.md has what the commands have. */
import { describe, expect, test } from "bun:test";

import { commonOptions } from "../../src/cli/arguments.ts";
import { commandList } from "../../src/cli/command-list.ts";
import { Exit } from "../../src/cli/exit.ts";
import { read, rows, section } from "../support/documents.ts";

const document = read("docs/cli.md");

describe("docs/cli.md", () => {
  test("has a section for each command, with its example", async () => {
    for (const [name, entry] of Object.entries(commandList)) {
      if (name === "completion") continue;
      const { command } = await entry.load();
      const [, after] = document.split(`\n### ${name}\n`);
      expect(after?.split("\n##")[0], name).toContain(`    ${command.example}\n`);
    }
  });

  test("names no option that there isn't", async () => {
    const known = new Set(Object.keys(commonOptions));
    for (const entry of Object.values(commandList))
      for (const option of Object.keys((await entry.load()).command.options)) known.add(option);
    const named = Array.from(document.matchAll(/`(?:[^`\n]* )?--([a-z-]+)/g), ([, option = ""]) => option);
    expect(named.filter((option) => !known.has(option))).toEqual([]);
    expect(new Set(named).size).toBeGreaterThan(15);
  });

  test("lists the common options", () => {
    const listed = rows(section(document, "Grammar"), /^`/).map(
      ([cell = ""]) => /--([a-z-]+)/.exec(cell)?.[1],
    );
    expect(listed).toEqual(Object.keys(commonOptions));
  });

  test("lists the exit codes", () => {
    const listed = rows(section(document, "Exit codes"), /^\d/).map(([code]) => Number(code));
    expect(listed).toEqual(Object.values(Exit));
  });
});
