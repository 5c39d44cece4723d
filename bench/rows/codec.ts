/** Encoding and decoding of messages, beside msgpackr alone. */
import { Packr, REUSE_BUFFER_MODE, Unpackr } from "msgpackr/pack";

import { Batch, decode, headerBytes, Kind } from "../harness/internals.ts";
import type { RaceRow } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { stackedContest } from "./contest.ts";

const batch = 256;
const maxFrameBytes = 0xffff_ffff;
/** A call as it goes over the wire. */
const message = [Kind.call, 4_711, "getQuote", ["btcusdt", { depth: 5, exact: true }, 1_616.25]] as const;
const options = { useRecords: false, mapsAsObjects: true };

/** Encodes a turn's worth of frames into one buffer, as a channel does. */
function encodeFrames(): Operation {
  const frames = new Batch();
  let written = 0;
  const count = (_: Uint8Array, start: number, end: number): void => void (written += end - start);
  return {
    calls: batch,
    run() {
      for (let made = 0; made < batch; made++) frames.add(message, maxFrameBytes);
      frames.drain(count);
      if (written === 0) throw new Error("nothing was encoded");
    },
  };
}

/** Lets msgpackr fill its own buffer from front to back and replace it when it is full. */
function packAlone(): Operation {
  const packr = new Packr(options);
  let written = 0;
  return {
    calls: batch,
    run() {
      for (let made = 0; made < batch; made++) written += packr.pack(message, REUSE_BUFFER_MODE).length;
      if (written === 0) throw new Error("nothing was encoded");
    },
  };
}

/** The message as it arrives: in a new chunk each time, for which msgpackr has no view yet. */
class Arrivals {
  readonly #bytes = encodedMessage();
  chunks: Uint8Array[] = [];

  arrive(): void {
    this.chunks = Array.from({ length: batch }, () => new Uint8Array(this.#bytes));
  }
}

function encodedMessage(): Uint8Array {
  const frames = new Batch();
  let bytes = new Uint8Array();
  frames.add(message, maxFrameBytes);
  frames.drain((source, start, end) => void (bytes = new Uint8Array(source.slice(start, end))));
  return bytes;
}

function decodeFrames(): Operation {
  const arrivals = new Arrivals();
  return {
    calls: batch,
    before: async () => arrivals.arrive(),
    run() {
      let kinds = 0;
      for (const chunk of arrivals.chunks) kinds += (decode(chunk, headerBytes, chunk.length) as [number])[0];
      if (kinds !== batch * Kind.call) throw new Error("decoded a different message");
    },
  };
}

function unpackAlone(): Operation {
  const unpackr = new Unpackr(options);
  const arrivals = new Arrivals();
  const range = { start: headerBytes, end: encodedMessage().length };
  return {
    calls: batch,
    before: async () => arrivals.arrive(),
    run() {
      let kinds = 0;
      for (const chunk of arrivals.chunks) kinds += (unpackr.unpack(chunk, range) as [number])[0];
      if (kinds !== batch * Kind.call) throw new Error("decoded a different message");
    },
  };
}

function codecRow(id: string, what: string, baseline: string, subject: Operation, alone: Operation): RaceRow {
  return {
    kind: "race",
    id,
    transport: "none",
    what,
    baseline,
    open: () => stackedContest(async () => ({ subject, baseline: alone })),
  };
}

export const codecRows: readonly RaceRow[] = [
  codecRow(
    "codec.encode",
    "encode a call, with its frame's length, into the batch of a turn",
    "msgpackr alone, the same value",
    encodeFrames(),
    packAlone(),
  ),
  codecRow(
    "codec.decode",
    "decode the value of such a frame, in a chunk of its own",
    "msgpackr alone, the same chunks",
    decodeFrames(),
    unpackAlone(),
  ),
];
