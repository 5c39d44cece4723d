/** What crosses is checked by any Standard Schema, one by hand and zod's here, and replaced by what that makes of it. */
import { describe, expect, test } from "bun:test";

import { EncodeError, openNursery, type Portal, RemoteActorError, validated } from "../../src/index.ts";
import { World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const module = new URL("../fixtures/checked.ts", import.meta.url);
type Checked = typeof import("../fixtures/checked.ts");

/** The message of the EncodeError that a remote failure is about. */
async function misfit(failing: PromiseLike<unknown>): Promise<string> {
  const error = await failure(failing);
  expect(error).toBeInstanceOf(RemoteActorError);
  expect(error.cause).toBeInstanceOf(EncodeError);
  return (error.cause as EncodeError).message;
}

async function far(world: World): Promise<{ portal: Portal<Checked> } & AsyncDisposable> {
  const nursery = await openNursery(world.options);
  const portal = await nursery.startActor<Checked>("far", { module });
  return { portal, [Symbol.asyncDispose]: async () => await nursery[Symbol.asyncDispose]() };
}

describe("validated", () => {
  test("is the function itself", () => {
    const fn = (n: number): number => n;
    expect(validated({}, fn)).toBe(fn);
  });

  const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };
  const expected = "expected a Standard Schema (version 1)";

  test.each<[what: string, schemas: unknown, message: string]>([
    ["a key that there is none of", { arg: schema }, 'validated: unknown key "arg" (known: args, result, '],
    ["a list of schemas", { args: [schema] }, `validated: args: ${expected}, got an array`],
    ["a value that is no schema", { result: { type: "string" } }, `result: ${expected}, got an object`],
    ["a function", { send: () => true }, `send: ${expected}, got function`],
    ["null", { started: null }, `started: ${expected}, got null`],
    [
      "a schema of another version",
      { receive: { "~standard": { ...schema["~standard"], version: 2 } } },
      `receive: ${expected}, got an object`,
    ],
    [
      "a schema without its function",
      { args: { "~standard": { version: 1, vendor: "x" } } },
      `args: ${expected}`,
    ],
    ["a schema in place of the schemas", schema, 'unknown key "~standard"'],
    ["none", undefined, "validated: expected an object of schemas, got undefined"],
    ["a function before the schemas", () => {}, "validated: expected an object of schemas, got function"],
  ])("refuses %s at once, and says what is expected", (_, schemas, message) => {
    const wrap = (): unknown => validated(schemas as object, () => {});
    expect(wrap).toThrow(TypeError);
    expect(wrap).toThrow(message);
  });

  test("refuses what is not a function, and takes schemas that are functions, instances of classes, or left out", () => {
    expect(() => validated({}, 5 as never)).toThrow(
      new TypeError("validated: expected a function, got number"),
    );
    const callable = Object.assign(() => {}, schema) as never;
    class Schema {
      get "~standard"(): unknown {
        return schema["~standard"];
      }
    }
    const fn = (): void => {};
    expect(validated({ args: callable, result: new Schema() as never, send: undefined } as object, fn)).toBe(
      fn,
    );
  });

  test("arguments and result are what their schemas make of them", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await tree.portal.run.measure("  four  ")).toBe("4 letters");
    expect(await tree.portal.run.events()).toEqual(["four"]);
  });

  test("arguments that do not fit reject the call with function, path and type; the function is not called", async () => {
    await using world = new World();
    await using tree = await far(world);
    const { run } = tree.portal;
    expect(await misfit(run.measure(42))).toBe("arguments of measure[0] is number: must be a string");
    expect(await misfit(run.measure(null))).toBe("arguments of measure[0] is null: must be a string");
    expect(await misfit(run.measure([]))).toBe("arguments of measure[0] is an array: must be a string");
    expect(await misfit(run.measure(new Date()))).toBe("arguments of measure[0] is a Date: must be a string");
    expect(await run.events()).toEqual([]);
  });

  test("a result that does not fit rejects the call with function and type", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await misfit(tree.portal.run.measure("no number"))).toBe(
      "result of measure is null: must be a number",
    );
  });

  test("validators may be asynchronous", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await tree.portal.run.slowly(1)).toBe(4);
    expect(await misfit(tree.portal.run.slowly("1"))).toBe(
      "arguments of slowly[0] is string: must be a number",
    );
  });

  test("started value and messages both ways are what their schemas make of them", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.trims();
    expect(dialog.started).toBe("hello");
    const answers: unknown[] = [];
    for (const text of [" a ", " b "]) await dialog.send(text);
    await dialog.end();
    for await (const answer of dialog) answers.push(answer);
    expect(answers).toEqual(["a!", "b!"]);
    expect(await dialog.result).toBe(2);
    expect(await tree.portal.run.events()).toEqual(["a", "b"]);
  });

  test("a caller's message that does not fit fails its dialog", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.trims();
    await dialog.send({ not: "text" } as unknown as string);
    expect(await misfit(dialog.result)).toBe("message to trims is an object: must be a string");
    expect(await tree.portal.run.events()).toEqual([]);
  });

  test("a callee's message that does not fit is its own error", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.trims();
    await dialog.send("not a string");
    expect(await misfit(dialog.result)).toBe("message of trims is number: must be a string");
  });

  test("a started value that does not fit makes open reject", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await misfit(tree.portal.open.startsWrong())).toBe(
      "started value of startsWrong is null: must be a string",
    );
  });

  test("a generator's values are checked as messages, in order; one that does not fit ends it, its finally included", async () => {
    await using world = new World();
    await using tree = await far(world);
    const values: unknown[] = [];
    for await (const value of tree.portal.stream.doubles([1, 2, 3])) values.push(value);
    expect(values).toEqual([2, 4, 6]);
    await tree.portal.run.events();
    const before: unknown[] = [];
    const reading = (async () => {
      for await (const value of tree.portal.stream.doubles([1, "two", 3])) before.push(value);
    })();
    expect(await misfit(reading)).toBe("value of doubles is string: must be a number");
    expect(before).toEqual([2]);
    expect(await tree.portal.run.events()).toEqual(["doubles finally"]);
  });

  test("functions without schemas take anything that can cross", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await tree.portal.run.plain(1, " two ", null)).toEqual([1, " two ", null]);
  });
});

describe("validated with zod", () => {
  test("coerces, fills in defaults, and strips what a result does not have", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await tree.portal.run.order({ id: "7", lines: [{ item: "nail" }] })).toEqual({ accepted: true });
    expect(await tree.portal.run.echoesOrder({ id: "7", lines: [{ item: "nail" }], more: true })).toEqual({
      id: 7,
      lines: [{ item: "nail", count: 1 }],
    });
  });

  test("names each misfit by function, path and type", async () => {
    await using world = new World();
    await using tree = await far(world);
    const message = await misfit(
      tree.portal.run.order({ id: 1.5, lines: [{ item: "" }, { item: "nail", count: "many" }, 3] }),
    );
    const parts = message.split("; ");
    expect(parts).toHaveLength(4);
    expect(parts[0]).toStartWith("arguments of order[0].id is number: ");
    expect(parts[1]).toStartWith("arguments of order[0].lines[0].item is string: ");
    expect(parts[2]).toStartWith("arguments of order[0].lines[1].count is string: ");
    expect(parts[3]).toStartWith("arguments of order[0].lines[2] is number: ");
    const result = await misfit(tree.portal.run.order({ id: 1, lines: [] }, "refuse"));
    expect(result).toStartWith("result of order.accepted is string: ");
  });

  test("waits for asynchronous refinements", async () => {
    await using world = new World();
    await using tree = await far(world);
    expect(await misfit(tree.portal.run.echoesOrder({ id: -1, lines: [] }))).toBe(
      "arguments of echoesOrder[0] is an object: needs a positive id",
    );
  });
});
