/** Acknowledged registration with a registrar. */
import { currentRuntime, registrarLink } from "../harness/internals.ts";
import { type RaceRow, serverOf } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { inFlight, lanes, openEcho } from "../raw/echo.ts";
import { Registrant } from "../raw/registrant.ts";
import { contestWithEcho, stackedContest } from "./contest.ts";

/** Leaves the table and comes back, waiting for each. */
function registration(): Operation {
  const runtime = currentRuntime();
  const link = registrarLink();
  return {
    calls: 2,
    async run() {
      await link.unregister();
      await link.register(runtime);
    },
  };
}

/** The same without waiting: requests are served in the order they were sent, so each one changes the table. */
function registrationInFlight(): Operation {
  const runtime = currentRuntime();
  const link = registrarLink();
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
  what: "unregister and register again, each acknowledged; the time is that of one of the two",
  baseline: "echo.unix",
  server: {},
  open: (scene) => contestWithEcho(scene, async () => registration()),
};

const registerInFlight: RaceRow = {
  kind: "race",
  id: `register.${lanes}`,
  transport: "unix",
  what: `one actor that alternately unregisters and registers, with ${lanes} requests in flight; each is acknowledged and changes the table`,
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
  what: `the registrar alone: ${lanes} connections with an actor each, which alternately unregisters and registers, one request in flight per connection; the other end sends bytes encoded in advance`,
  baseline: `${lanes} raw sockets with a ping in flight on each`,
  ratioOf: "throughput",
  warmupFactor: 5,
  server: {},
  open: (scene) =>
    stackedContest(async (stack) => {
      const [addr] = serverOf(scene).registryAddrs;
      if (addr === undefined) throw new Error("the server process has no registry address");
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
