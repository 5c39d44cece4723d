/** Streams: messages one way. */
import { findActor } from "../src/index.ts";
import { join, stackedContest } from "./client.ts";
import type * as actor from "./fixtures/actor.ts";
import { FloodClient } from "./flood.ts";
import type { RaceRow } from "./row.ts";

function streamRow(id: string, bytes: number, messages: number): RaceRow {
  return {
    kind: "race",
    id,
    transport: "unix",
    what: `a message of ${bytes} bytes out of an exported generator, read with for await`,
    baseline: `a raw socket that sends as many messages of ${bytes} bytes, a write for each`,
    ratioOf: "throughput",
    warmupFactor: 5,
    server: {},
    open: (scene) =>
      stackedContest(async (stack) => {
        if (scene.server === undefined) throw new Error("this row needs a server");
        const raw = stack.use(await FloodClient.connect(scene.server.flood));
        stack.use(await join(scene));
        const portal = stack.use(await findActor<typeof actor>("server", { raiseOnNone: true }));
        return {
          subject: {
            calls: messages,
            async run() {
              let received = 0;
              for await (const message of portal.stream.flood(messages, bytes)) received += message.length;
              if (received !== messages * bytes) throw new Error(`received ${received} bytes`);
            },
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
