import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { FrameError } from "../../src/errors.ts";
import { checkMessage, Kind, type Message } from "../../src/wire/messages.ts";
import { golden } from "./golden.ts";

const hello = [Kind.hello, 1, "u", "n", "h", 1, "peer", [], false, null, null, null];

describe("the golden table", () => {
  test("has a message of every kind", () => {
    const covered = new Set(golden.map(({ message }) => message[0]));
    const missing = Object.entries(Kind).filter(([, kind]) => !covered.has(kind));
    expect(missing.map(([name]) => name)).toEqual([]);
  });
});

describe("checkMessage", () => {
  test.each(golden.map(({ what, message }) => [what, message]))(
    "takes the golden message %s, with and without further fields",
    (_, message) => {
      expect(checkMessage(message)).toBe(message as Message);
      expect(() => checkMessage([...message, ...Array<null>(12).fill(null)])).not.toThrow();
    },
  );

  test.each<[what: string, message: unknown, fault: string]>([
    ["null", null, "a message must be an array, got null"],
    ["a map", { 0: 1 }, "a message must be an array, got object"],
    ["a number", 8, "a message must be an array, got number"],
    ["an empty array", [], "a message kind must be a number, got undefined"],
    ["an unknown kind", [200], "unknown message kind 200"],
    ["a negative kind", [-1], "unknown message kind -1"],
    ["a kind of another type", ["8"], "a message kind must be a number, got string"],
    [
      "a kind that cannot be shown",
      [{ toString: 1, valueOf: 1 }],
      "a message kind must be a number, got object",
    ],
    ["a missing id", [Kind.call], "field 1 of a message of kind 8 is malformed"],
    ["a negative id", [Kind.call, -1, "f", []], "field 1 of a message of kind 8 is malformed"],
    ["a fractional id", [Kind.call, 1.5, "f", []], "field 1 of a message of kind 8 is malformed"],
    ["an id that is a bigint", [Kind.call, 1n, "f", []], "field 1 of a message of kind 8 is malformed"],
    ["a name that is no text", [Kind.call, 1, 2, []], "field 2 of a message of kind 8 is malformed"],
    ["arguments that are no array", [Kind.call, 1, "f", {}], "field 3 of a message of kind 8 is malformed"],
    ["a flag that is none", [Kind.call, 1, "f", [], 1], "field 4 of a message of kind 8 is malformed"],
    ["a reason that is no text", [Kind.cancel, 1, 2], "field 2 of a message of kind 11 is malformed"],
    ["a hello cut short", hello.slice(0, 8), "field 8 of a message of kind 0 is malformed"],
    ["a hello without a version", [Kind.hello, "1"], "field 1 of a message of kind 0 is malformed"],
  ])("refuses %s", (_, message, fault) => {
    expect(() => checkMessage(message)).toThrow(new FrameError(fault));
  });

  test("lets the hello of another version through, whatever its other fields are", () => {
    expect(() => checkMessage([Kind.hello, 2, { all: "new" }])).not.toThrow();
  });

  test("never does anything but return or throw a FrameError", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.anything(), fc.array(fc.anything()), fc.tuple(fc.nat(60), fc.anything())),
        (value) => {
          try {
            checkMessage(value);
          } catch (error) {
            if (!(error instanceof FrameError)) throw error;
          }
        },
      ),
    );
  });
});
