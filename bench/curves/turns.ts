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
/** The first time may still have code to compile; that counts, too. */
const times = 3;
/** More connections don't fit into the limit on open files of most machines. */
const mostPeers = 10_000;

function turnMeasure(id: string, what: string): Measure {
  const names = { line: "computed", tail: "by the clock", baseline: "goal" };
  return { id, what, unit: "ns", ...names, ideal: "below the baseline" };
}

/** The longest turn while `ask` runs, in what it computed and by the clock. */
async function longestTurn(server: CurveServer, ask: () => Promise<unknown>): Promise<Value> {
  let [median, tail] = [0, 0];
  for (let time = 0; time < times; time++) {
    await server.longestTurn();
    await ask();
    const { computedMs, wallMs } = await server.longestTurn();
    [median, tail] = [Math.max(median, computedMs * 1e6), Math.max(tail, wallMs * 1e6)];
  }
  return { median, tail, baseline: goalNs };
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
    return size > mostPeers ? asked : { ...asked, ...(await turnsOfPeers(size, server)) };
  },
};

async function turnsOfPeers(size: number, server: CurveServer): Promise<Values> {
  const { registry } = server.places;
  return { change: await change(), burst: await burst() };

  async function change(): Promise<Value> {
    await using one = await Registrant.connect(registry, "followed");
    await using followers = await Followers.connect(registry, [Kind.lookup, 1, "followed", true], size);
    return await longestTurn(server, () => Promise.all([followers.next(), one.change()]));
  }

  async function burst(): Promise<Value> {
    await using stack = new AsyncDisposableStack();
    const all: Registrant[] = [];
    // one after the other: a registrar closes the oldest of many that haven't said hello
    for (let n = 0; n < size; n++) all.push(stack.use(await Registrant.connect(registry, `burst-${n}`)));
    return await longestTurn(server, () => Promise.all(all.map((one) => one.change())));
  }
}
