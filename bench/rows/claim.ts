/** Claims of a name at the registrar, as `findOrStart` makes them. */
import { claimAndRelease } from "../harness/internals.ts";
import type { RaceRow } from "../harness/row.ts";
import { contestWithEcho, stackedContest } from "./contest.ts";
import { openCall } from "./rpc.ts";

const claim: RaceRow = {
  kind: "race",
  id: "claim",
  transport: "unix",
  what: "take a free name at the registrar, which is acknowledged, and give it back, which is not",
  baseline: "rpc.unix",
  server: {},
  open: (scene) =>
    stackedContest(async (stack) => {
      const { subject, baseline } = stack.use(
        await contestWithEcho(scene, async () => ({ run: () => claimAndRelease("claimed") })),
      );
      return { subject, baseline: { run: await openCall(stack) }, others: { "echo.unix": baseline } };
    }),
};

export const claimRows: readonly RaceRow[] = [claim];
