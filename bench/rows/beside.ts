/** A lookup beside a get from a store that is used for the same purpose; skipped where the store isn't installed. */
import { manyNames } from "../harness/names.ts";
import type { RaceRow } from "../harness/row.ts";
import { type StoreKind, storeKinds } from "../stores/kinds.ts";
import { contestWithEcho, stackedContest } from "./contest.ts";
import { freshQuery } from "./lookup.ts";

function besideRow({ name, transport, program, programName, baseline, open }: StoreKind): RaceRow {
  return {
    kind: "race",
    id: `beside.${name}`,
    transport,
    what: `lookup.registrar.${transport}, beside a store`,
    baseline,
    skip: () => (program === undefined ? `${programName} is not installed` : undefined),
    server: { names: manyNames },
    open: (scene) =>
      stackedContest(async (stack) => {
        const store = stack.use(await open(program ?? "", scene.folder));
        const { subject, baseline: echo } = stack.use(
          await contestWithEcho(scene, async () => ({ run: freshQuery() }), { maxCachedNames: manyNames }),
        );
        return { subject, baseline: { run: store.get }, others: { [`echo.${transport}`]: echo } };
      }),
  };
}

export const besideRows: readonly RaceRow[] = storeKinds.map(besideRow);
