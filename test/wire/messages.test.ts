import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { FrameError } from "../../src/errors.ts";
import { checkMessage, Kind, type Message } from "../../src/wire/messages.ts";

const hello = [Kind.hello, 1, "u", "n", "h", 1, "peer", [], false, null, null, null];

/** Well-formed messages. */
const wellFormed: Readonly<Record<string, readonly unknown[]>> = {
  hello,
  refuse: [Kind.refuse, "self", "text", "uuid"],
  bye: [Kind.bye, "closed"],
  ping: [Kind.ping, 1],
  pong: [Kind.pong, 1],
  idle: [Kind.idle],
  idleAgreed: [Kind.idleAgreed],
  resume: [Kind.resume],
  call: [Kind.call, 1, "fn", []],
  result: [Kind.result, 1, { any: "value" }, true],
  error: [Kind.error, 1, []],
  cancel: [Kind.cancel, 1, null],
  register: [Kind.register, 1, []],
  unregister: [Kind.unregister, 1],
  lookup: [Kind.lookup, 1, "name", true],
  forget: [Kind.forget, "name"],
  added: [Kind.added, "name", []],
  removed: [Kind.removed, "name", "uuid", 1],
  report: [Kind.report, "uuid"],
  stop: [Kind.stop, 1],
  ready: [Kind.ready],
  failed: [Kind.failed, []],
};

describe("checkMessage", () => {
  test.each(Object.entries(wellFormed))(
    "takes a well-formed %s, with and without further fields",
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
