/** Finding an actor and connecting to it. */
import { currentRuntime } from "../src/actor/current.ts";
import { Registries } from "../src/discovery/registries.ts";
import { findActor } from "../src/index.ts";
import { contestWithEcho, stackedContest } from "./client.ts";
import { EchoClient, openEcho } from "./echo.ts";
import type { Operation } from "./harness.ts";
import type { RaceRow, RawTarget } from "./row.ts";

/** Calls in each sample of `find.warm`. */
const batch = 64;

async function findAndDispose(name: string): Promise<void> {
  await using portal = await findActor(name);
  if (portal === null) throw new Error(`${name} was not found`);
}

/** A connection of its own for each ping. */
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

/** Lookup, connection, handshake, portal: before each, the connection is closed and the cache empty. */
function coldFind(echo: EchoClient): Operation {
  const runtime = currentRuntime();
  const link = Registries.of(runtime).onlyLink;
  return {
    async before() {
      for (const peer of runtime.peers.byName("target") ?? []) await peer.close("from the start");
      // not by eviction, which would have the registrar told in the midst of the next sample
      link?.cache.clear();
      // time for the others to be done with that close
      await echo.ping();
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
  server: { target: true },
  open: (scene) =>
    stackedContest(async (stack) => {
      if (scene.server === undefined) throw new Error("this row needs a server");
      const echo = stack.use(await openEcho(scene));
      const connect = stack.use(connectOperation(scene.server.echo));
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
