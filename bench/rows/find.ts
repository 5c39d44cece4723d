/** Finding an actor and connecting to it. */
import { findActor } from "../../src/index.ts";
import { currentRuntime, registrarLink } from "../harness/internals.ts";
import { type RaceRow, type RawTarget, serverOf } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { EchoClient, openEcho } from "../raw/echo.ts";
import { contestWithEcho, stackedContest } from "./contest.ts";

/** Calls per sample of `find.warm`. */
const batch = 64;

async function findAndDispose(name: string): Promise<void> {
  await using portal = await findActor(name);
  if (portal === null) throw new Error(`${name} was not found`);
}

/** Opens a new connection for each ping. */
function connectOperation(target: RawTarget): Operation & AsyncDisposable {
  let client: EchoClient | undefined;
  const close = async (): Promise<void> => await client?.[Symbol.asyncDispose]();
  return {
    before: close,
    async run() {
      client = await EchoClient.connect(target);
      await client.ping();
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Looks up, connects, shakes hands and opens a portal; before each sample the connection is closed and the cache cleared. */
function coldFind(echo: EchoClient): Operation {
  const runtime = currentRuntime();
  const { cache } = registrarLink();
  return {
    async before() {
      for (const peer of runtime.peers.byName("target") ?? []) await peer.close("from the start");
      // evicting the name instead would send the registrar a message during the next sample
      cache.clear();
      // gives the other processes time to finish closing
      for (let n = 0; n < 3; n++) await echo.ping();
    },
    run: () => findAndDispose("target"),
  };
}

const cold = (transport: "unix" | "tcp", proof: string): RaceRow => ({
  kind: "race",
  id: `find.cold.${transport}`,
  transport,
  what: `await findActor and dispose, with nothing known and no connection: lookup, connect, handshake${proof}, portal`,
  baseline: "a raw connect and one echo",
  // with one at a time, and much code for each, it takes long until that is compiled
  warmupFactor: 8,
  server: { target: true },
  open: (scene) =>
    stackedContest(async (stack) => {
      const echo = stack.use(await openEcho(scene));
      const connect = stack.use(connectOperation(serverOf(scene).echo));
      const { subject, baseline } = stack.use(await contestWithEcho(scene, async () => coldFind(echo)));
      return { subject, baseline: connect, others: { [`echo.${transport}`]: baseline } };
    }),
});

const warm: RaceRow = {
  kind: "race",
  id: "find.warm",
  transport: "unix",
  what: "await findActor of a connected peer, and dispose",
  baseline: "echo.unix",
  server: {},
  open: (scene) =>
    contestWithEcho(scene, async () => ({
      calls: batch,
      async run() {
        for (let made = 0; made < batch; made++) await findAndDispose("server");
      },
    })),
};

export const findRows: readonly RaceRow[] = [
  cold("unix", ""),
  cold("tcp", " with a proof of the secret"),
  warm,
];
