/** Calls through a service, beside the same calls through a portal. */
import type * as actor from "../fixtures/actor.ts";
import { openService } from "../harness/internals.ts";
import type { RaceRow } from "../harness/row.ts";
import { contestWithEcho, stackedContest } from "./contest.ts";
import { openCall, text } from "./rpc.ts";

const call: RaceRow = {
  kind: "race",
  id: "service.call",
  transport: "unix",
  what: "the call of rpc.unix, through a service with one instance",
  baseline: "rpc.unix",
  skip: () => (openService === undefined ? "this revision has no services" : undefined),
  server: {},
  open: (scene) =>
    stackedContest(async (stack) => {
      const { subject, baseline } = stack.use(
        await contestWithEcho(scene, async (inner) => {
          const service = inner.use(await openService!<typeof actor>("server"));
          return { run: () => service.run.echo(text) };
        }),
      );
      return { subject, baseline: { run: await openCall(stack) }, others: { "echo.unix": baseline } };
    }),
};

export const serviceRows: readonly RaceRow[] = [call];
