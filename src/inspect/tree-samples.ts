/**
 * `furrow.samples`: a sample of an actor and of every actor below it, each time that the caller asks. Each actor asks its
 * children, over the connections that it has to them anyway, and passes on what they answer.
 */
import type { Runtime } from "../actor/runtime.ts";
import { RemotePortal } from "../rpc/portal.ts";
import { leaveUnattended } from "../rpc/task.ts";
import type { Context } from "../rpc/types.ts";
import type { DescribedChild, Family } from "./describe.ts";
import { Measuring, type Reader } from "./measuring.ts";
import type { ActorReport, Sample } from "./sample.ts";
import { TreeReader } from "./tree-reader.ts";

/** One request is the time in milliseconds that the answer may take. Null comes after the last report of an answer. */
export interface TreeSamplesTypes {
  readonly started: undefined;
  readonly send: ActorReport | null;
  readonly receive: number;
}

/** What of its own time an actor leaves to its children, so that its answer is in time though theirs isn't. */
const shareOfChildren = 0.8;

export async function serveTreeSamples(
  runtime: Runtime,
  family: Family,
  ctx: Context<TreeSamplesTypes>,
): Promise<void> {
  leaveUnattended();
  using reader = Measuring.of(runtime).open();
  using below = new Children(runtime, family);
  await ctx.started(undefined);
  for await (const withinMs of ctx) {
    const bound = typeof withinMs === "number" && withinMs >= 0 ? withinMs : 0;
    await ctx.send({ id: runtime.id, restarts: 0, sample: brief(reader) });
    for (const report of await below.collect(bound * shareOfChildren)) await ctx.send(report);
    await ctx.send(null);
  }
}

/** Without what nobody can add up. */
function brief(reader: Reader): Sample {
  return { ...reader.sample(), streams: [], peers: [] };
}

class Children implements Disposable {
  readonly #family: Family;
  readonly #reader: TreeReader;
  readonly #stopWatching: () => void;

  constructor(runtime: Runtime, family: Family) {
    this.#family = family;
    this.#reader = new TreeReader(async (uuid) => {
      const peer = runtime.peers.get(uuid);
      if (peer === undefined) throw new Error("it isn't connected");
      return new RemotePortal(peer.acquire().handler);
    });
    // so that it measures from now on, and not only from the next request on
    this.#stopWatching = family.watch((uuid) => this.#reader.begin(uuid));
  }

  /** All reports from below, each child's before those of its own children. */
  async collect(withinMs: number): Promise<ActorReport[]> {
    const children = this.#family.children();
    this.#reader.keep(new Set(children.map(({ id }) => id.uuid)));
    const all = await Promise.all(children.map((child) => this.#ask(child, withinMs)));
    return all.flat();
  }

  async #ask({ id, restarts }: DescribedChild, withinMs: number): Promise<ActorReport[]> {
    const [own, ...below] = await this.#reader.read(id.uuid, withinMs).catch(() => []);
    return own === undefined ? [{ id, restarts, sample: null }] : [{ ...own, restarts }, ...below];
  }

  [Symbol.dispose](): void {
    this.#stopWatching();
    this.#reader[Symbol.dispose]();
  }
}
