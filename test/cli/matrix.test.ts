/** That the matrix of the command line is whole: its cells are in `matrix/`, and run there. */
import { describe, expect, test } from "bun:test";

import schema from "../../docs/cli.schema.json";
import { commandList } from "../../src/cli/command-list.ts";
import { isCell, type Rows } from "../support/matrix.ts";
import { also } from "./matrix/also.ts";
import { change } from "./matrix/change.ts";
import { look } from "./matrix/look.ts";
import { make } from "./matrix/make.ts";
import { use } from "./matrix/use.ts";

const matrix: Rows = { ...look, ...use, ...change, ...make, ...also };

/** The options that make a view go on. */
const goingOn = ["watch", "follow"];

describe("the matrix of the command line", () => {
  test("has a row for every command", () => {
    expect(Object.keys(matrix)).toEqual(Object.keys(commandList));
  });

  test.each(Object.keys(commandList))("has the cells of every view of %s that goes on", async (name) => {
    const { command } = await commandList[name]!.load();
    const options = goingOn.filter((option) => option in command.options).map((option) => `--${option}`);
    expect(Object.keys(matrix[name]?.forms ?? {})).toEqual(expect.arrayContaining(options));
  });

  test("holds every document of docs/cli.schema.json", () => {
    const held = Object.values(matrix)
      .flatMap(({ forms }) => Object.values(forms))
      .flatMap(({ json }) => (isCell(json) ? json.schema : []));
    const documents = new Set<string>(held.filter((name) => name !== "value"));
    const described = schema.anyOf.map(({ $ref }) => $ref.replace("#/$defs/", ""));
    expect(Array.from(documents).toSorted()).toEqual(described.toSorted());
  });
});
