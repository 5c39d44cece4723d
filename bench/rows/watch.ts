/** Changes that are pushed to those that watch. */
import { Kind } from "../harness/internals.ts";
import type { RaceRow } from "../harness/row.ts";
import { serverOf } from "../harness/row.ts";
import type { Pace } from "../harness/timing.ts";
import { FanOutClients } from "../raw/fan-out.ts";
import { Followers } from "../raw/followers.ts";
import { Registrant } from "../raw/registrant.ts";
import { stackedContest } from "./contest.ts";

/** A push to many takes milliseconds: longer blocks have more than a few of them. */
const pace: Pace = { warmupCalls: 20_000, warmupMs: [300, 1_000], blockMs: 60, blocks: 5 };

function pushRow(watchers: number): RaceRow {
  const isOne = watchers === 1;
  return {
    kind: "race",
    id: isOne ? "watch.push" : `watch.push.${watchers}`,
    transport: "unix",
    what: `an actor registers or unregisters, until ${isOne ? "its watcher" : `the last of its ${watchers} watchers`} has received that${isOne ? "" : ", each over a connection of its own"}`,
    baseline: `a raw socket that passes a message on to ${isOne ? "another" : `${watchers} others, a write for each`}`,
    server: {},
    pace,
    open: (scene) =>
      stackedContest(async (stack) => {
        const [addr] = serverOf(scene).registryAddrs;
        if (addr === undefined) throw new Error("the server process has no registry address");
        const registrant = stack.use(await Registrant.connect(addr, "watched"));
        const all = stack.use(await Followers.connect(addr, [Kind.watch, 1, "watch*"], watchers));
        const raw = stack.use(await FanOutClients.connect(serverOf(scene).fanOut, watchers));
        return {
          subject: { run: () => Promise.all([all.next(), registrant.change()]) },
          baseline: { run: () => raw.push() },
        };
      }),
  };
}

export const watchRows: readonly RaceRow[] = [1, 100, 1_000].map(pushRow);
