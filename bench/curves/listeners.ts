/** Those that hear of each change of a name: watchers, and actors that have looked it up. */
import { Kind, type Message } from "../harness/internals.ts";
import { FanOutClients } from "../raw/fan-out.ts";
import { Followers } from "../raw/followers.ts";
import { Registrant } from "../raw/registrant.ts";
import type { Curve } from "./curve.ts";
import { openServer, sample } from "./scene.ts";

const name = "followed";

function listenersCurve(id: string, title: string, counts: string, request: Message): Curve {
  return {
    id,
    title,
    about:
      "An actor registers or unregisters, until the last of so many peers has received that. Each peer is a raw connection that counts what arrives; all of them are in one process.",
    counts,
    sizes: [1, 10, 100, 1_000, 10_000],
    measures: [
      {
        id: "change",
        what: "from a change until the last has it",
        unit: "ns",
        baseline: "raw fan-out",
        ideal: "same for each",
      },
    ],
    descriptors: (size) => size + 64,
    async measure(size, scene) {
      await using server = await openServer(scene);
      const { registry, fanOut } = server.places;
      const value = await timeChanges();
      await using raw = await FanOutClients.connect(fanOut, size);
      const { median: baseline } = await sample(scene, { run: () => raw.push() });
      return { change: { ...value, baseline } };

      async function timeChanges() {
        await using one = await Registrant.connect(registry, name);
        await using followers = await Followers.connect(registry, request, size);
        return await sample(scene, { run: () => Promise.all([followers.next(), one.change()]) });
      }
    },
  };
}

export const watchers: Curve = listenersCurve("watchers", "Watchers of one name", "watchers", [
  Kind.watch,
  1,
  name,
]);

export const interested: Curve = listenersCurve(
  "interested",
  "Actors that have looked one name up",
  "interested actors",
  [Kind.lookup, 1, name, true],
);
