/** Calls of a function in another process. */
import { findActor, type Transport } from "../../src/index.ts";
import type * as actor from "../fixtures/actor.ts";
import type { RaceRow } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { inFlight, lanes, pingBytes } from "../raw/echo.ts";
import { contestWithEcho } from "./contest.ts";

export type EchoCall = () => Promise<string>;

export const text: string = "x".repeat(pingBytes);

export async function openCall(stack: AsyncDisposableStack): Promise<EchoCall> {
  const portal = stack.use(await findActor<typeof actor>("server", { raiseOnNone: true }));
  return () => portal.run.echo(text);
}

function rpcRow(transport: Transport): RaceRow {
  return {
    kind: "race",
    id: `rpc.${transport}`,
    transport,
    what: `await portal.run.echo(a string of ${pingBytes} characters)`,
    baseline: `echo.${transport}`,
    server: {},
    open: (scene) =>
      contestWithEcho(scene, async (stack): Promise<Operation> => ({ run: await openCall(stack) })),
  };
}

function inFlightRow(count: number): RaceRow {
  return {
    kind: "race",
    id: `rpc.unix.${count}`,
    transport: "unix",
    what: `the same call with ${count} in flight`,
    baseline: `echo.unix with ${count} in flight, a promise and a write for each`,
    ratioOf: "throughput",
    warmupFactor: 5,
    server: {},
    open: (scene) =>
      contestWithEcho(scene, async (stack) => inFlight(await openCall(stack), count), {
        raw: (echo) => inFlight(() => echo.ping(), count),
      }),
  };
}

/** How many calls to keep in flight, one row each: shows how throughput grows. */
const flights = [1, 2, 4, 8, 16, 32, lanes, 128] as const;

export const rpcRows: readonly RaceRow[] = [
  rpcRow("unix"),
  rpcRow("tcp"),
  ...flights.map((count) => inFlightRow(count)),
];
