/** Names that a registrar has. */
import { queryActor } from "../../src/index.ts";
import { registrarLink } from "../harness/internals.ts";
import { nameOf } from "../harness/names.ts";
import { EchoClient, pingOperation } from "../raw/echo.ts";
import { Registrant } from "../raw/registrant.ts";
import { weighMap } from "../rows/table.ts";
import type { Curve } from "./curve.ts";
import { joinServer, openServer, sample, sampleBeside } from "./scene.ts";

/** Fewer names don't show in the memory of a process. */
const leastWeighed = 10_000;
/** Prime, so that names are asked for from all over the table. */
const stride = 7_919;

export const names: Curve = {
  id: "names",
  title: "Names in the table",
  about:
    "The names exist only in the registrar's table, with two addresses each; one actor looks them up, and one more actor comes and goes over a connection of its own.",
  counts: "names",
  sizes: [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
  measures: [
    { id: "lookup", what: "a cold lookup", unit: "ns", baseline: "raw echo" },
    { id: "register", what: "one more registers, or leaves", unit: "ns" },
    { id: "memory", what: "the registrar's PSS for each", unit: "bytes", baseline: "plain Map" },
  ],
  async measure(size, scene) {
    await using server = await openServer(scene);
    const { pss: empty } = await server.memory();
    await server.fillNames(size);
    const { pss: full } = await server.memory();
    await using echo = await EchoClient.connect(server.places.echo);
    await using _actor = await joinServer(server);
    await using one = await Registrant.connect(server.places.registry, "newcomer");
    const register = await sample(scene, { run: () => one.change() });
    const { cache } = registrarLink();
    let asked = 0;
    const lookup = await sampleBeside(
      scene,
      {
        before: async () => cache.clear(),
        async run() {
          const { id } = await queryActor(nameOf((asked++ * stride) % size));
          if (id === null) throw new Error("a name was lost");
        },
      },
      pingOperation(echo),
    );
    if (size < leastWeighed) return { lookup, register };
    const { bytes } = weighMap(size);
    return { lookup, register, memory: { median: (full - empty) / size, baseline: bytes } };
  },
};
