/** Open connections: the memory of each, in the process that has accepted it. */
import { Kind } from "../harness/internals.ts";
import { FanOutClients } from "../raw/fan-out.ts";
import { Followers } from "../raw/followers.ts";
import type { Curve, CurveScene, Values } from "./curve.ts";
import { openServer } from "./scene.ts";
import type { CurveServer } from "./server.ts";

/** How much a fresh server process grows for each of `size` connections. */
async function growth(
  size: number,
  scene: CurveScene,
  connect: (server: CurveServer) => Promise<AsyncDisposable>,
): Promise<{ pss: number; private: number }> {
  await using server = await openServer(scene);
  // the first one brings code, which all others share
  await (await connect(server))[Symbol.asyncDispose]();
  const before = await server.memory();
  await using _connections = await connect(server);
  const after = await server.memory();
  return { pss: (after.pss - before.pss) / size, private: (after.private - before.private) / size };
}

export const connections: Curve = {
  id: "connections",
  title: "Connections of one process",
  about:
    "Each connection has shaken hands and made one call. Weighed is the process that has accepted them, after a collection; the memory of the sockets in the kernel isn't in it.",
  counts: "connections",
  sizes: [100, 400, 1_000, 4_000],
  measures: [
    { id: "pss", what: "PSS of each", unit: "bytes", baseline: "raw socket" },
    { id: "private", what: "private memory of each", unit: "bytes", baseline: "raw socket" },
  ],
  descriptors: (size) => size + 64,
  async measure(size, scene): Promise<Values> {
    const own = await growth(size, scene, (server) =>
      Followers.connect(server.places.registry, [Kind.call, 1, "echo", ["x"]], size),
    );
    const raw = await growth(size, scene, (server) => FanOutClients.connect(server.places.fanOut, size));
    return {
      pss: { median: own.pss, baseline: raw.pss },
      private: { median: own.private, baseline: raw.private },
    };
  },
};
