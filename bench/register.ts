/** Registration with a registrar, acknowledged. */
import { currentRuntime } from "../src/actor/current.ts";
import { Registries } from "../src/discovery/registries.ts";
import type { RegistrarLink } from "../src/discovery/registrar-link.ts";
import { contestWithEcho, stackedContest } from "./client.ts";
import { inFlight, lanes, openEcho } from "./echo.ts";
import type { Operation } from "./harness.ts";
import { Registrant } from "./registrant.ts";
import type { RaceRow } from "./row.ts";

function onlyLink(): RegistrarLink {
  const link = Registries.of(currentRuntime()).onlyLink;
  if (link === undefined) throw new Error("no registrar is connected");
  return link;
}

/** Leaves the table and comes back, by turns. */
function registration(): Operation {
  const runtime = currentRuntime();
  const link = onlyLink();
  return {
    calls: 2,
    async run() {
      await link.unregister();
      await link.register(runtime);
    },
  };
}

/** The same without waiting: they are served in the order of asking, so each of them changes the table. */
function registrationInFlight(): Operation {
  const runtime = currentRuntime();
  const link = onlyLink();
  let registered = true;
  return inFlight(() => {
    registered = !registered;
    return registered ? link.register(runtime) : link.unregister();
  });
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

const registerInFlight: RaceRow = {
  kind: "race",
  id: `register.${lanes}`,
  transport: "unix",
  what: `one actor that unregisters and registers by turns with ${lanes} of these in flight, each acknowledged and each a change of the table`,
  baseline: `echo.unix with ${lanes} in flight, a promise and a write for each`,
  ratioOf: "throughput",
  warmupFactor: 5,
  server: {},
  open: (scene) =>
    contestWithEcho(scene, async () => registrationInFlight(), {
      raw: (echo) => inFlight(() => echo.ping()),
    }),
};

const registerConnections: RaceRow = {
  kind: "race",
  id: "register.connections",
  transport: "unix",
  what: `the registrar alone: ${lanes} connections with an actor each, which unregister and register by turns, one request in flight on each; the other end is bytes made before`,
  baseline: `${lanes} raw sockets with a ping in flight on each`,
  ratioOf: "throughput",
  warmupFactor: 5,
  server: {},
  open: (scene) =>
    stackedContest(async (stack) => {
      const [addr] = scene.server?.registryAddrs ?? [];
      if (addr === undefined) throw new Error("this row needs a server");
      const each = Array.from({ length: lanes }, (_, n) => n);
      const registrants = await Promise.all(each.map((n) => Registrant.connect(addr, `actor-${n}`)));
      const echoes = await Promise.all(each.map(() => openEcho(scene)));
      for (const one of [...registrants, ...echoes]) stack.use(one);
      return {
        subject: inFlight((lane) => registrants[lane]?.change()),
        baseline: inFlight((lane) => echoes[lane]?.ping()),
      };
    }),
};

export const registerRows: readonly RaceRow[] = [register, registerInFlight, registerConnections];
