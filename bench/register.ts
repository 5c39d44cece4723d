/** Registration with a registrar, acknowledged. */
import { currentRuntime } from "../src/actor/current.ts";
import { Registries } from "../src/discovery/registries.ts";
import { contestWithEcho } from "./client.ts";
import type { Operation } from "./harness.ts";
import type { RaceRow } from "./row.ts";

/** Leaves the table and comes back, by turns. */
function registration(): Operation {
  const runtime = currentRuntime();
  const link = Registries.of(runtime).onlyLink;
  if (link === undefined) throw new Error("no registrar is connected");
  return {
    calls: 2,
    async run() {
      await link.unregister();
      await link.register(runtime);
    },
  };
}

const register: RaceRow = {
  kind: "race",
  id: "register",
  transport: "unix",
  what: "unregister and register again, each acknowledged; the time of one of the two",
  baseline: "echo.unix",
  server: {},
  open: (scene) => contestWithEcho(scene, async () => registration()),
};

export const registerRows: readonly RaceRow[] = [register];
