/**
 * The protocol's messages as bytes, for anyone who writes a peer in another language: the message, and its frame in hex.
 * Each row must be well-formed, encode to these bytes and decode from them; every kind has at least one.
 */
import { Kind } from "../../src/wire/messages.ts";

export interface GoldenRow {
  readonly what: string;
  readonly message: readonly unknown[];
  readonly hex: string;
}

const addr = "tcp://[::1]:1616";
const addrHex = "b07463703a2f2f5b3a3a315d3a31363136";
const host = "0123456789abcdef";
const hostHex = "b030313233343536373839616263646566";
const nonce = new Uint8Array(16).fill(0xaa);
const proof = new Uint8Array(32).fill(0xbb);
const proofHex = `c420${"bb".repeat(32)}`;
const details = ["1.2", { zone: "eu" }, null, 1_700_000_000_000, [["add", "run"]], "ready"];
/** The brief form, and what it is made of. */
const brief = `u-1 4711 300 ${host}\n${addr}`;
const briefHex = `d92e ${"752d3120343731312033303020"} ${hostHex.slice(2)} 0a ${addrHex.slice(2)}`;
const registration = ["u-1", 4711, host, [addr], 300, details];
const registrationHex = (map: string): string =>
  `96 a3752d31 cd1267 ${hostHex} 91${addrHex} cd012c 96 a3312e32 ${map} a47a6f6e65 a26575 c0 cb4278bcfe56800000 91 92 a3616464 a372756e a57265616479`;
const failure = [[], ["Error", "no", "", null, null, null]];
const failureHex = "92 90 96 a54572726f72 a26e6f a0 c0 c0 c0";

/** At least one message of each kind. */
const messages: readonly GoldenRow[] = [
  // the connection
  {
    what: "hello",
    message: [Kind.hello, 1, "u-1", "quotes", host, 4711, "peer", [addr], false, null, null, null],
    hex: `3d000000 9c 00 01 a3752d31 a671756f746573 ${hostHex} cd1267 a470656572 91${addrHex} c2 c0 c0 c0`,
  },
  {
    what: "a knock: the hello of a dialler over plain tcp",
    message: [Kind.hello, 1, "u-1", "", "", 0, "peer", [], false, null, nonce, proof],
    hex: `46000000 9c 00 01 a3752d31 a0 a0 00 a470656572 90 c2 c0 c410${"aa".repeat(16)} ${proofHex}`,
  },
  { what: "refuse", message: [Kind.refuse, "self", "no"], hex: "0a000000 93 01 a473656c66 a26e6f" },
  {
    what: "refuse with the acceptor's uuid",
    message: [Kind.refuse, "target", "elsewhere", "u-2"],
    hex: "17000000 94 01 a6746172676574 a9656c73657768657265 a3752d32",
  },
  {
    what: "refuse with its proof, over plain tcp",
    message: [Kind.refuse, "target", "elsewhere", "u-2", proof],
    hex: `39000000 95 01 a6746172676574 a9656c73657768657265 a3752d32 ${proofHex}`,
  },
  {
    what: "prove",
    message: [Kind.prove, proof, "quotes", host, 4711, [addr], false],
    hex: `52000000 97 18 ${proofHex} a671756f746573 ${hostHex} cd1267 91${addrHex} c2`,
  },
  { what: "bye", message: [Kind.bye, "closed"], hex: "09000000 92 02 a6636c6f736564" },
  {
    what: "bye to one who waits for answers",
    message: [Kind.bye, "closed", [7, 300]],
    hex: "0e000000 93 02 a6636c6f736564 92 07 cd012c",
  },
  { what: "ping", message: [Kind.ping, 7], hex: "03000000 92 03 07" },
  { what: "pong", message: [Kind.pong, 7], hex: "03000000 92 04 07" },
  { what: "idle", message: [Kind.idle], hex: "02000000 91 05" },
  { what: "idleAgreed", message: [Kind.idleAgreed], hex: "02000000 91 06" },
  { what: "resume", message: [Kind.resume], hex: "02000000 91 07" },
  // calls
  {
    what: "call",
    message: [Kind.call, 300, "add", [1, -2]],
    hex: "0c000000 94 08 cd012c a3616464 92 01 fe",
  },
  {
    what: "a call in rich form",
    message: [Kind.call, 1, "f", [0, [2, 7]], true],
    hex: "0b000000 95 08 01 a166 92 00 92 02 07 c3",
  },
  {
    what: "a call that is traced",
    message: [Kind.call, 1, "f", [], false, { traceparent: "00-1-2-01" }],
    hex: "1e000000 96 08 01 a166 90 c2 81 ab7472616365706172656e74 a930302d312d322d3031",
  },
  { what: "result", message: [Kind.result, 1, "ok"], hex: "06000000 93 09 01 a26f6b" },
  { what: "result without a value", message: [Kind.result, 1], hex: "03000000 92 09 01" },
  { what: "error", message: [Kind.error, 3, failure], hex: `13000000 93 0a 03 ${failureHex}` },
  { what: "cancel", message: [Kind.cancel, 3, "enough"], hex: "0a000000 93 0b 03 a6656e6f756768" },
  { what: "cancel without a reason", message: [Kind.cancel, 3], hex: "03000000 92 0b 03" },
  // streams and dialogs
  {
    what: "stream",
    message: [Kind.stream, 4, "ticks", ["btc"], false, 64, 1_048_576],
    hex: "15000000 97 0c 04 a57469636b73 91a3627463 c2 40 ce00100000",
  },
  {
    what: "open",
    message: [Kind.open, 5, "chat", [], false, 64, 1_048_576],
    hex: "10000000 97 0d 05 a463686174 90 c2 40 ce00100000",
  },
  {
    what: "a stream that is traced",
    message: [Kind.stream, 4, "f", [], false, 64, 1_048_576, { a: "b" }],
    hex: "12000000 98 0c 04 a166 90 c2 40 ce00100000 81 a161 a162",
  },
  {
    what: "a dialog that is traced",
    message: [Kind.open, 5, "f", [], false, 64, 1_048_576, { a: "b" }],
    hex: "12000000 98 0d 05 a166 90 c2 40 ce00100000 81 a161 a162",
  },
  { what: "put", message: [Kind.put, 5, "hi"], hex: "06000000 93 0e 05 a26869" },
  { what: "putEnd", message: [Kind.putEnd, 5], hex: "03000000 92 0f 05" },
  { what: "allowItems", message: [Kind.allowItems, 4, 32, 4_096], hex: "07000000 94 10 04 20 cd1000" },
  { what: "started", message: [Kind.started, 5, "ready", false], hex: "0a000000 94 11 05 a57265616479 c2" },
  { what: "item", message: [Kind.item, 4, 0.5], hex: "0c000000 93 12 04 cb3fe0000000000000" },
  { what: "itemEnd", message: [Kind.itemEnd, 4], hex: "03000000 92 13 04" },
  {
    what: "allowPuts",
    message: [Kind.allowPuts, 5, 64, 1_048_576],
    hex: "09000000 94 14 05 40 ce00100000",
  },
  // shared buffers
  {
    what: "a call with a shared buffer",
    message: [Kind.call, 1, "f", [0, [7, 3, 14, 4_096, 1, 300, 2]], true],
    hex: "14000000 95 08 01 a166 92 00 97 07 03 0e cd1000 01 cd012c 02 c3",
  },
  { what: "unshare", message: [Kind.unshare, 3, 2], hex: "04000000 93 15 03 02" },
  { what: "released", message: [Kind.released, 3, 2], hex: "04000000 93 16 03 02" },
  // discovery
  { what: "register", message: [Kind.register, 6, [addr]], hex: `15000000 93 20 06 91${addrHex}` },
  {
    what: "register with details",
    message: [Kind.register, 6, [addr], details],
    hex: `3d000000 94 20 06 91${addrHex} 96 a3312e32 81 a47a6f6e65 a26575 c0 cb4278bcfe56800000 91 92 a3616464 a372756e a57265616479`,
  },
  { what: "unregister", message: [Kind.unregister, 7], hex: "03000000 92 21 07" },
  { what: "lookup", message: [Kind.lookup, 8, "quotes", true], hex: "0b000000 94 22 08 a671756f746573 c3" },
  {
    what: "lookup with details",
    message: [Kind.lookup, 8, "quotes", false, true],
    hex: "0c000000 95 22 08 a671756f746573 c2 c3",
  },
  {
    what: "lookup of all instances",
    message: [Kind.lookup, 8, "quotes", true, false, true],
    hex: "0d000000 96 22 08 a671756f746573 c3 c2 c3",
  },
  { what: "forget", message: [Kind.forget, "quotes"], hex: "09000000 92 23 a671756f746573" },
  {
    what: "added",
    message: [Kind.added, "quotes", brief],
    hex: `39000000 93 24 a671756f746573 ${briefHex}`,
  },
  {
    what: "added, before another",
    message: [Kind.added, "quotes", brief, "u-2"],
    hex: `3d000000 94 24 a671756f746573 ${briefHex} a3752d32`,
  },
  {
    what: "removed",
    message: [Kind.removed, "quotes", "u-1", 301],
    hex: "10000000 94 25 a671756f746573 a3752d31 cd012d",
  },
  { what: "report", message: [Kind.report, "u-1"], hex: "06000000 92 26 a3752d31" },
  { what: "unwatched", message: [Kind.unwatched, "quotes"], hex: "09000000 92 27 a671756f746573" },
  { what: "retired", message: [Kind.retired], hex: "02000000 91 28" },
  {
    what: "update",
    message: [Kind.update, 9, { zone: "us" }, "draining"],
    hex: "15000000 94 29 09 81 a47a6f6e65 a27573 a8647261696e696e67",
  },
  {
    what: "update of the state alone",
    message: [Kind.update, 9, null, "draining"],
    hex: "0d000000 94 29 09 c0 a8647261696e696e67",
  },
  { what: "watch", message: [Kind.watch, 9, "quotes*"], hex: "0b000000 93 2a 09 a771756f7465732a" },
  {
    what: "the state that a watch begins with",
    message: [Kind.result, 9, [301, [["quotes", registration]]]],
    hex: `68000000 93 09 09 92 cd012d 91 92 a671756f746573 ${registrationHex("de0001")}`,
  },
  { what: "unwatch", message: [Kind.unwatch, 9], hex: "03000000 92 2b 09" },
  {
    what: "change",
    message: [Kind.change, 9, 1, "quotes", registration],
    hex: `61000000 95 2c 09 01 a671756f746573 ${registrationHex("81")}`,
  },
  {
    what: "resync",
    message: [Kind.resync, 9, 301, [["quotes", registration]]],
    hex: `67000000 94 2d 09 cd012d 91 92 a671756f746573 ${registrationHex("de0001")}`,
  },
  {
    what: "resync with the failure that ends the watch",
    message: [Kind.resync, 9, 301, [], failure],
    hex: `17000000 95 2d 09 cd012d 90 ${failureHex}`,
  },
  {
    what: "claim",
    message: [Kind.claim, 9, "quotes", false, "k-1", 0],
    hex: "10000000 96 2e 09 a671756f746573 c2 a36b2d31 00",
  },
  {
    what: "claim of a name that will be unique",
    message: [Kind.claim, 9, "quotes", false, "k-1", 0, true],
    hex: "11000000 97 2e 09 a671756f746573 c2 a36b2d31 00 c3",
  },
  {
    what: "unclaim",
    message: [Kind.unclaim, "quotes", "k-1"],
    hex: "0d000000 93 2f a671756f746573 a36b2d31",
  },
  { what: "partial", message: [Kind.partial, "quotes"], hex: "09000000 92 38 a671756f746573" },
  { what: "part", message: [Kind.part, 5, [1, "a"]], hex: "07000000 93 3b 05 92 01 a161" },
  { what: "state", message: [Kind.state, 5, [["a", []]]], hex: "08000000 93 3c 05 91 92 a161 90" },
  { what: "store", message: [Kind.store, null], hex: "03000000 92 39 c0" },
  {
    what: "store that can't be reached",
    message: [Kind.store, 2_500, "gone"],
    hex: "0a000000 93 39 cd09c4 a4676f6e65",
  },
  { what: "fence", message: [Kind.fence, "quotes", 7], hex: "0a000000 93 3a a671756f746573 07" },
  // the tree
  { what: "stop", message: [Kind.stop, 9], hex: "03000000 92 30 09" },
  { what: "ready", message: [Kind.ready], hex: "02000000 91 31" },
  { what: "ready no more", message: [Kind.ready, false], hex: "03000000 92 31 c2" },
  { what: "failed", message: [Kind.failed, failure], hex: `12000000 92 32 ${failureHex}` },
  { what: "stopping", message: [Kind.stopping, 1_500], hex: "05000000 92 33 cd05dc" },
  { what: "drain", message: [Kind.drain, 10, 30_000], hex: "06000000 93 34 0a cd7530" },
  {
    what: "drain of a tree",
    message: [Kind.drain, 10, 30_000, ["u-1"]],
    hex: "0b000000 94 34 0a cd7530 91 a3752d31",
  },
  // how busy an actor is
  { what: "watchLoad", message: [Kind.watchLoad], hex: "02000000 91 35" },
  { what: "load", message: [Kind.load, 12], hex: "03000000 92 36 0c" },
  { what: "data", message: [Kind.data, 10], hex: "03000000 92 37 0a" },
  {
    what: "registrars",
    message: [Kind.registrars, [["a", "u-1", []]]],
    hex: "0b000000 92 3d 91 93 a161 a3752d31 90",
  },
];

/** Values of each type, as the result of a call or its arguments. */
const values: readonly GoldenRow[] = [
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

export const golden: readonly GoldenRow[] = [...messages, ...values];
