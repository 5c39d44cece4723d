/** Streams: messages in one direction. */
import { findActor, type Portal } from "../../src/index.ts";
import type * as actor from "../fixtures/actor.ts";
import { type RaceRow, serverOf } from "../harness/row.ts";
import { FloodClient } from "../raw/flood.ts";
import { join, stackedContest } from "./contest.ts";

/** Reads a stream of so many messages of that size to its end. */
export async function readFlood(
  portal: Portal<typeof actor>,
  messages: number,
  bytes: number,
): Promise<void> {
  let received = 0;
  for await (const message of portal.stream.flood(messages, bytes)) received += message.length;
  if (received !== messages * bytes) throw new Error(`received ${received} bytes`);
}

function streamRow(id: string, bytes: number, messages: number): RaceRow {
  return {
    kind: "race",
    id,
    transport: "unix",
    what: `a message of ${bytes} bytes from an exported generator, read with for await`,
    baseline: `a raw socket that sends as many messages of ${bytes} bytes, a write for each`,
    ratioOf: "throughput",
    warmupFactor: 5,
    server: {},
    open: (scene) =>
      stackedContest(async (stack) => {
        const raw = stack.use(await FloodClient.connect(serverOf(scene).flood));
        stack.use(await join(scene));
        const portal = stack.use(await findActor<typeof actor>("server", { raiseOnNone: true }));
        return {
          subject: {
            calls: messages,
            run: () => readFlood(portal, messages, bytes),
          },
          baseline: { calls: messages, run: () => raw.receive(messages, bytes) },
        };
      }),
  };
}

export const streamRows: readonly RaceRow[] = [
  streamRow("stream.small", 32, 4_096),
  streamRow("stream.64k", 65_536, 128),
];
