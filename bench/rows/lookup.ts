/** Lookups of a name: by a request to the registrar, in the cache, among the connected peers. */
import { getPeerByName, getRegistry, queryActor, type Transport } from "../../src/index.ts";
import { evenMoreNames, manyNames, nameOf } from "../harness/names.ts";
import type { RaceRow, Scene } from "../harness/row.ts";
import type { Contest, Operation } from "../harness/timing.ts";
import { inFlight, lanes } from "../raw/echo.ts";
import { openRedis, redisServer } from "../stores/redis.ts";
import { contestWithEcho, stackedContest } from "./contest.ts";

/** Calls per sample of lookups that take less than a microsecond. */
const batch = 256;

/** Asks for a different registered name each time. */
export function freshQuery(
  of: (n: number) => string = nameOf,
  count: number = manyNames,
): () => Promise<void> {
  const names = Array.from({ length: count }, (_, n) => of(n));
  let next = 0;
  return async () => {
    const name = names[next++];
    if (name === undefined) throw new Error(`all ${count} names are used up: the round is too long`);
    await using found = await queryActor(name);
    if (found.addr === null) throw new Error(`${name} is not in the table`);
  };
}

function requestRow(transport: Transport): RaceRow {
  return {
    kind: "race",
    id: `lookup.registrar.${transport}`,
    transport,
    what: "await queryActor of a registered name that this process has not asked for yet, and dispose: a request each time",
    baseline: `echo.${transport}`,
    server: { names: manyNames },
    open: (scene) =>
      contestWithEcho(scene, async () => ({ run: freshQuery() }), { maxCachedNames: manyNames }),
  };
}

function registryCallRow(transport: Transport): RaceRow {
  return {
    kind: "race",
    id: `lookup.call.${transport}`,
    transport,
    what: "await registry.run.findActor(name): the registrar asked as any actor, past the cache",
    baseline: `echo.${transport}`,
    server: {},
    open: (scene) =>
      contestWithEcho(scene, async (stack): Promise<Operation> => {
        const registry = stack.use(await getRegistry());
        return { run: () => registry.run.findActor("server") };
      }),
  };
}

const requestsInFlight: RaceRow = {
  kind: "race",
  id: "lookup.registrar.unix.64",
  transport: "unix",
  what: `the same request with ${lanes} in flight`,
  baseline: redisServer
    ? `Redis GET over a unix socket with ${lanes} in flight, automatic pipelining off`
    : `echo.unix with ${lanes} in flight (redis-server is not installed)`,
  ratioOf: "throughput",
  warmupFactor: 5,
  server: { names: evenMoreNames },
  open: openRequestsInFlight,
};

async function openRequestsInFlight(scene: Scene): Promise<Contest> {
  return await stackedContest(async (stack) => {
    const { subject, baseline } = stack.use(
      await contestWithEcho(scene, async () => inFlight(freshQuery(nameOf, evenMoreNames)), {
        maxCachedNames: evenMoreNames,
        raw: (echo) => inFlight(() => echo.ping()),
      }),
    );
    if (redisServer === undefined) return { subject, baseline };
    const redis = stack.use(await openRedis(redisServer, scene.folder));
    return { subject, baseline: inFlight(redis.get), others: { "echo.unix.64": baseline } };
  });
}

const cached: RaceRow = {
  kind: "race",
  id: "lookup.cached",
  transport: "unix",
  what: "await queryActor of a name that the cache keeps current, in an actor that is not a registrar",
  baseline: "echo.unix",
  server: { names: 1 },
  open: (scene) =>
    contestWithEcho(scene, async () => {
      await using first = await queryActor(nameOf(0));
      if (first.addr === null) throw new Error(`${nameOf(0)} is not in the table`);
      return {
        calls: batch,
        async run() {
          for (let made = 0; made < batch; made++) await queryActor(nameOf0);
        },
      };
    }),
};
const nameOf0 = nameOf(0);

const connectedPeer: RaceRow = {
  kind: "race",
  id: "lookup.peer",
  transport: "unix",
  what: "getPeerByName of a connected actor, synchronous",
  baseline: "echo.unix",
  server: {},
  open: (scene) =>
    contestWithEcho(scene, async () => ({
      calls: batch,
      run() {
        let found = 0;
        for (let made = 0; made < batch; made++) found += getPeerByName("server")?.length ?? 0;
        if (found !== batch) throw new Error("the peer is not connected");
      },
    })),
};

export const lookupRows: readonly RaceRow[] = [
  requestRow("unix"),
  requestRow("tcp"),
  requestsInFlight,
  registryCallRow("unix"),
  registryCallRow("tcp"),
  cached,
  connectedPeer,
];
