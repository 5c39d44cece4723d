import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { readMeta } from "../../src/wire/meta.ts";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("readMeta", () => {
  test.each<[what: string, field: unknown, meta: Record<string, string> | undefined]>([
    ["a trace context as it is", { traceparent, tracestate: "a=b" }, { traceparent, tracestate: "a=b" }],
    ["a baggage of 8,192 bytes", { baggage: "x".repeat(8_192) }, { baggage: "x".repeat(8_192) }],
    [
      "the texts beside entries of other types",
      { traceparent, deadlineMs: 5, a: [1], b: null },
      { traceparent },
    ],
    ["nothing from an absent field", undefined, undefined],
    ["nothing from nil", null, undefined],
    ["nothing from a text", traceparent, undefined],
    ["nothing from a list", [traceparent], undefined],
    ["nothing from a binary", new Uint8Array([1]), undefined],
    ["nothing from a date", new Date(0), undefined],
    ["nothing from a map without texts", { traceparent: 1 }, undefined],
    ["nothing from a text that is too long", { traceparent, baggage: "x".repeat(10_241) }, undefined],
    ["nothing from a name that is too long", { traceparent, ["x".repeat(10_241)]: "" }, undefined],
    [
      "nothing from too many entries",
      Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`e${at}`, ""])),
      undefined,
    ],
  ])("takes %s", (_, field, meta) => {
    expect(readMeta(field)).toEqual(meta);
  });

  test("keeps a name that objects have of themselves as an entry of its own", () => {
    const meta = readMeta(JSON.parse(`{ "__proto__": "a", "constructor": "b" }`));
    expect(Object.entries(meta!)).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
  });

  test("never throws", () => {
    fc.assert(fc.property(fc.anything(), (field) => void readMeta(field)));
  });
});
