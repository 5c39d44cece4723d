/** Two connections to the same raw echo: how far the ratio of equal things is from 1. */
import type { Transport } from "../../src/index.ts";
import type { RaceRow } from "../harness/row.ts";
import { openEcho, pingBytes, pingOperation } from "../raw/echo.ts";
import { stackedContest } from "./contest.ts";

function echoRow(transport: Transport): RaceRow {
  return {
    kind: "race",
    id: `echo.${transport}`,
    transport,
    what: `a raw Bun socket: ${pingBytes} bytes there and back`,
    baseline: `echo.${transport}, a second connection: the ratio is the noise`,
    server: {},
    open: (scene) =>
      stackedContest(async (stack) => ({
        subject: pingOperation(stack.use(await openEcho(scene))),
        baseline: pingOperation(stack.use(await openEcho(scene))),
      })),
  };
}

export const echoRows: readonly RaceRow[] = [echoRow("unix"), echoRow("tcp")];
