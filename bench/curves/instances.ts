/** Instances of one name. */
import { queryActor } from "../../src/index.ts";
import { registrarLink } from "../harness/internals.ts";
import { Registrant } from "../raw/registrant.ts";
import type { Curve } from "./curve.ts";
import { joinServer, openServer, sample } from "./scene.ts";

const name = "crowd";
/** Choices from the cache that make a sample: each takes less than a microsecond. */
const batch = 256;

export const instances: Curve = {
  id: "instances",
  title: "Instances of one name",
  about:
    "A registrar has so many instances of a name, of which all but one exist only in its table; one actor looks the name up, and one more instance comes and goes over a connection of its own.",
  counts: "instances of the name",
  sizes: [1, 10, 100, 1_000, 10_000, 100_000],
  measures: [
    { id: "lookup", what: "a cold lookup, which answers with all", unit: "ns", ideal: "same for each" },
    { id: "choice", what: "a lookup in the cache, which takes one", unit: "ns" },
    { id: "register", what: "one more registers, or leaves", unit: "ns" },
    { id: "push", what: "until a cache that has all has that, too", unit: "ns" },
  ],
  async measure(size, scene) {
    await using server = await openServer(scene);
    await server.fillInstances(name, size);
    await using _actor = await joinServer(server);
    await using one = await Registrant.connect(server.places.registry, name);
    const { cache } = registrarLink();
    // before this actor takes an interest: nothing is pushed
    const register = await sample(scene, { run: () => one.change() });
    const lookup = await sample(scene, {
      before: async () => cache.clear(),
      run: () => queryActor(name),
    });
    const choice = await sample(scene, {
      calls: batch,
      async run() {
        for (let made = 0; made < batch; made++) await queryActor(name);
      },
    });
    const push = await sample(scene, {
      async run() {
        const applied = Promise.withResolvers<void>();
        cache.watch(name, applied.resolve);
        await Promise.all([one.change(), applied.promise]);
      },
    });
    return { lookup, choice, register, push };
  },
};
