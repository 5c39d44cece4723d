/** The protocol's messages as bytes, for whoever writes a peer in another language: message, frame in hex. */
import { Kind } from "../../src/wire/messages.ts";

export interface GoldenRow {
  readonly what: string;
  readonly message: readonly unknown[];
  readonly hex: string;
}

export const golden: readonly GoldenRow[] = [
  {
    what: "hello",
    message: [
      Kind.hello,
      1,
      "u-1",
      "quotes",
      "0123456789abcdef",
      4711,
      "peer",
      ["tcp://[::1]:1616"],
      false,
      null,
      null,
      null,
    ],
    hex:
      "3d000000 9c 00 01 a3752d31 a671756f746573 b030313233343536373839616263646566 cd1267 a470656572 " +
      "91b07463703a2f2f5b3a3a315d3a31363136 c2 c0 c0 c0",
  },
  { what: "refuse", message: [Kind.refuse, "self", "no"], hex: "0a000000 93 01 a473656c66 a26e6f" },
  { what: "bye", message: [Kind.bye, "closed"], hex: "09000000 92 02 a6636c6f736564" },
  { what: "ping", message: [Kind.ping, 7], hex: "03000000 92 03 07" },
  { what: "idle", message: [Kind.idle], hex: "02000000 91 05" },
  {
    what: "call",
    message: [Kind.call, 300, "add", [1, -2]],
    hex: "0c000000 94 08 cd012c a3616464 92 01 fe",
  },
  { what: "result", message: [Kind.result, 1, "ok"], hex: "06000000 93 09 01 a26f6b" },
  { what: "an undefined result", message: [Kind.result, 1, undefined], hex: "06000000 93 09 01 d40000" },
  { what: "an object", message: [Kind.result, 1, { a: 1 }], hex: "07000000 93 09 01 81 a161 01" },
  {
    what: "an object of something rarer",
    message: [Kind.result, 1, { a: 1n }],
    hex: "11000000 93 09 01 de0001 a161 d30000000000000001",
  },
  { what: "a float", message: [Kind.result, 1, 1.5], hex: "0c000000 93 09 01 cb3ff8000000000000" },
  { what: "a bigint", message: [Kind.result, 1, -1n], hex: "0c000000 93 09 01 d3ffffffffffffffff" },
  {
    what: "an unsigned bigint",
    message: [Kind.result, 1, 2n ** 64n - 1n],
    hex: "0c000000 93 09 01 cfffffffffffffffff",
  },
  { what: "bytes", message: [Kind.result, 1, new Uint8Array([1, 2])], hex: "07000000 93 09 01 c4020102" },
  {
    what: "a Buffer",
    message: [Kind.result, 1, [6, new Uint8Array([1, 2])], true],
    hex: "0a000000 94 09 01 92 06 c4020102 c3",
  },
  {
    what: "a date in whole seconds",
    message: [Kind.result, 1, new Date(1_000)],
    hex: "09000000 93 09 01 d6ff00000001",
  },
  {
    what: "a date with milliseconds",
    message: [Kind.result, 1, new Date(1_001)],
    hex: "0d000000 93 09 01 d7ff003d090000000001",
  },
  {
    what: "a date before 1970",
    message: [Kind.result, 1, new Date(-1)],
    hex: "12000000 93 09 01 c70cff3b8b87c0ffffffffffffffff",
  },
  { what: "an invalid date", message: [Kind.result, 1, new Date(NaN)], hex: "06000000 93 09 01 d4ffff" },
  {
    what: "a large length",
    message: [Kind.call, 1, "f", ["x".repeat(300)]],
    hex: `35010000 94 08 01 a166 91 da012c ${"78".repeat(300)}`,
  },
];
