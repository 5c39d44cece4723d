/** Open connections: the memory of each, in the process that has accepted it, and the time of one more. */
import { Kind, type Message } from "../harness/internals.ts";
import { FanOutClients } from "../raw/fan-out.ts";
import { Followers } from "../raw/followers.ts";
import type { Curve, CurveScene, Value, Values } from "./curve.ts";
import { openServer, sample } from "./scene.ts";
import type { CurveServer } from "./server.ts";

/** Fewer connections don't show in the memory of a process. */
const leastWeighed = 100;
/** The first ones bring code, which all others share. */
const first = 10;

const call: Message = [Kind.call, 1, "echo", ["x"]];

type Connect = (server: CurveServer, count: number) => Promise<AsyncDisposable>;

const own: Connect = (server, count) => Followers.connect(server.places.registry, call, count);
/** A raw socket that has got a byte. */
const raw: Connect = (server, count) => FanOutClients.connect(server.places.fanOut, count - 1);

interface Growth {
  /** How much a fresh server process has grown for each of the connections. */
  readonly pss: number;
  readonly private: number;
  readonly oneMore: Value;
}

async function growth(size: number, scene: CurveScene, connect: Connect): Promise<Growth> {
  await using server = await openServer(scene);
  await using _first = await connect(server, first);
  const before = await server.memory();
  await using _connections = await connect(server, size);
  const after = await server.memory();
  let last: AsyncDisposable | undefined;
  const close = async (): Promise<void> => await last?.[Symbol.asyncDispose]();
  const oneMore = await sample(scene, {
    before: close,
    run: async () => (last = await connect(server, 1)),
  });
  await close();
  return { pss: (after.pss - before.pss) / size, private: (after.private - before.private) / size, oneMore };
}

export const connections: Curve = {
  id: "connections",
  title: "Connections of one process",
  about:
    "Each connection has shaken hands and made one call; beside it, a raw socket that has got a byte. Weighed is the process that has accepted them, after a collection; the memory of the sockets in the kernel isn't in it.",
  counts: "connections",
  sizes: [1, 10, 100, 1_000, 4_000],
  measures: [
    { id: "connect", what: "one more connects and makes a call", unit: "ns", baseline: "raw socket" },
    { id: "pss", what: "PSS of each", unit: "bytes", baseline: "raw socket" },
    { id: "private", what: "private memory of each", unit: "bytes", baseline: "raw socket" },
  ],
  descriptors: (size) => size + 64,
  async measure(size, scene): Promise<Values> {
    const subject = await growth(size, scene, own);
    const baseline = await growth(size, scene, raw);
    const connect = { ...subject.oneMore, baseline: baseline.oneMore.median };
    if (size < leastWeighed) return { connect };
    return {
      connect,
      pss: { median: subject.pss, baseline: baseline.pss },
      private: { median: subject.private, baseline: baseline.private },
    };
  },
};
