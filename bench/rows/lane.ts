/** Large binaries to another process of this machine: in shared memory, and copied. */
import { findActor, type Portal } from "../../src/index.ts";
import type * as actor from "../fixtures/actor.ts";
import { shareBuffer } from "../harness/internals.ts";
import { type RaceRow, serverOf } from "../harness/row.ts";
import { blockBytes, BlockClient, blockPages } from "../raw/blocks.ts";
import { join, stackedContest } from "./contest.ts";

/** A block, and what has the server read it; that resolves with the sum of a byte of each page. */
interface Lane {
  readonly block: Uint8Array;
  readonly handOver: () => Promise<number>;
}

/** Fills the block with another number each time, and checks that the server has read that. */
function filling({ block, handOver }: Lane): () => Promise<void> {
  let n = 0;
  return async () => {
    n = (n + 1) % 256;
    block.fill(n);
    const sum = await handOver();
    if (sum !== n * blockPages) throw new Error(`the server read ${sum}, not ${n * blockPages}`);
  };
}

function laneRow(
  id: string,
  what: string,
  open: (portal: Portal<typeof actor>, stack: AsyncDisposableStack) => Lane,
): RaceRow {
  return {
    kind: "race",
    id,
    transport: "unix",
    what,
    baseline: "a raw socket: as many bytes filled, written, received and answered with 4 bytes",
    ratioOf: "throughput",
    server: {},
    open: (scene) =>
      stackedContest(async (stack) => {
        const raw = stack.use(await BlockClient.connect(serverOf(scene).blocks));
        stack.use(await join(scene));
        const portal = stack.use(await findActor<typeof actor>("server", { raiseOnNone: true }));
        const block = new Uint8Array(blockBytes);
        return {
          subject: { run: filling(open(portal, stack)) },
          baseline: { run: filling({ block, handOver: () => raw.send(block) }) },
        };
      }),
  };
}

const sharedRow = laneRow(
  "lane.1m",
  "1 MiB of shared memory filled, and a call that reads a byte of each page of it in place",
  ({ run }, stack) => {
    const buffer = stack.use(shareBuffer!(blockBytes));
    return { block: buffer.bytes, handOver: () => run.readShared(buffer) };
  },
);

const copiedRow = laneRow(
  "lane.1m.copy",
  "the same with a Uint8Array as the argument, which is copied",
  ({ run }) => {
    const block = new Uint8Array(blockBytes);
    return { block, handOver: () => run.readPages(block) };
  },
);

export const laneRows: readonly RaceRow[] = [
  {
    ...sharedRow,
    skip: () => (shareBuffer === undefined ? "this revision has no shared memory" : undefined),
  },
  copiedRow,
];
