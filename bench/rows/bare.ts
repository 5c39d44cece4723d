/** Calls without furrow, but with its codec: see `raw/bare.ts`. */
import { type RaceRow, serverOf } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { BareClient } from "../raw/bare.ts";
import { inFlight, lanes, openEcho, pingBytes, pingOperation } from "../raw/echo.ts";
import { stackedContest } from "./contest.ts";

const text = "x".repeat(pingBytes);

function bareRow(id: string, count: number | undefined): RaceRow {
  const operation = (call: () => Promise<unknown>): Operation =>
    count === undefined ? { run: call } : inFlight(call, count);
  return {
    kind: "race",
    id,
    transport: "unix",
    what: `the least that rpc.unix could be: the codec, a promise, one write per turn${count === undefined ? "" : `; ${count} in flight`}`,
    baseline:
      count === undefined ? "echo.unix" : `echo.unix with ${count} in flight, a promise and a write for each`,
    ...(count === undefined ? {} : { ratioOf: "throughput", warmupFactor: 5 }),
    server: {},
    open: (scene) =>
      stackedContest(async (stack) => {
        const echo = stack.use(await openEcho(scene));
        const bare = stack.use(await BareClient.connect(serverOf(scene).bare));
        const baseline = count === undefined ? pingOperation(echo) : inFlight(() => echo.ping(), count);
        return { subject: operation(() => bare.call("echo", text)), baseline };
      }),
  };
}

export const bareRows: readonly RaceRow[] = [bareRow("bare.unix", undefined), bareRow("bare.unix.64", lanes)];
