/** The longest turn of a registrar's event loop that a question of a peer takes. */
import { getRegistry, queryActor, watchActors } from "../../src/index.ts";
import { Kind, registrarLink } from "../harness/internals.ts";
import { Followers } from "../raw/followers.ts";
import { Registrant } from "../raw/registrant.ts";
import type { Curve, Measure, Value, Values } from "./curve.ts";
import { joinServer, openServer } from "./scene.ts";
import type { CurveServer } from "./server.ts";

const name = "crowd";
/** No question of a peer should hold the loop longer than this. */
const goalNs = 20e6;
/** How often each question is asked, after a first time that loads and compiles code. */
const times = 3;
/** More connections don't fit into the limit on open files of most machines. */
const mostPeers = 10_000;

/** The most names of one `countInterested`. */
const mostCounted = 1_000;

type Registry = Awaited<ReturnType<typeof getRegistry>>;

function turnMeasure(id: string, what: string): Measure {
  const names = { line: "computed", tail: "by the clock", baseline: "goal" };
  return { id, what, unit: "ns", ...names, ideal: "below the baseline" };
}

/** The longest turn while `ask` runs, in what it computed and by the clock. */
async function longestTurn(server: CurveServer, ask: () => Promise<unknown>): Promise<Value> {
  await ask();
  let [computed, clock] = [0, 0];
  for (let time = 0; time < times; time++) {
    await server.longestTurn();
    await ask();
    const { computedMs, wallMs } = await server.longestTurn();
    computed = Math.max(computed, computedMs * 1e6);
    clock = Math.max(clock, wallMs * 1e6);
  }
  return { median: computed, tail: clock, baseline: goalNs };
}

async function firstEvent(): Promise<void> {
  for await (const _ of watchActors("*")) return;
}

export const turns: Curve = {
  id: "turns",
  title: "The longest turn of a registrar",
  about:
    "What a peer asks of a registrar that has so many actors, all of one name, or so many peers. The line is what the registrar's thread computes in its longest turn, the dotted one how long that is by the clock; the goal is 20 ms.",
  counts: "actors, or peers",
  sizes: [100, 1_000, 10_000, 100_000],
  measures: [
    turnMeasure("list", "a list of all actors"),
    turnMeasure("find", "a list of all actors of a name"),
    turnMeasure("lookup", "a cold lookup of a name that all have"),
    turnMeasure("watch", "the beginning of a watch of all actors"),
    turnMeasure("change", "a change for so many interested peers"),
    turnMeasure("count", "a count of those peers, a thousand times at once"),
    turnMeasure("burst", "so many peers register, or leave, at once"),
  ],
  descriptors: (size) => Math.min(size, mostPeers) + 64,
  async measure(size, scene): Promise<Values> {
    await using server = await openServer(scene);
    await server.fillInstances(name, size);
    await using _actor = await joinServer(server);
    await using registry = await getRegistry();
    // collects the garbage of all that, too
    await server.memory();
    const asked = {
      list: await longestTurn(server, () => registry.run.listActors()),
      find: await longestTurn(server, () => registry.run.findActors(name)),
      lookup: await longestTurn(server, async () => {
        registrarLink().cache.clear();
        await queryActor(name);
      }),
      watch: await longestTurn(server, firstEvent),
    };
    if (size > mostPeers) return asked;
    return { ...asked, ...(await followedTurns(size, server, registry)), burst: await burst(size, server) };
  },
};

/** While so many peers are interested in a name. */
async function followedTurns(size: number, server: CurveServer, registry: Registry): Promise<Values> {
  const addr = server.places.registry;
  await using one = await Registrant.connect(addr, "followed");
  await using followers = await Followers.connect(addr, [Kind.lookup, 1, "followed", true], size);
  const names = Array.from({ length: mostCounted }, () => "followed");
  return {
    change: await longestTurn(server, () => Promise.all([followers.next(), one.change()])),
    count: await longestTurn(server, () => registry.run.countInterested(names)),
  };
}

async function burst(size: number, server: CurveServer): Promise<Value> {
  await using stack = new AsyncDisposableStack();
  const all: Registrant[] = [];
  // one after the other: a registrar closes the oldest of many that haven't said hello
  for (let n = 0; n < size; n++)
    all.push(stack.use(await Registrant.connect(server.places.registry, `burst-${n}`)));
  return await longestTurn(server, () => Promise.all(all.map((one) => one.change())));
}
