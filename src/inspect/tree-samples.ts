/**
 * `furrow.samples`: a sample of an actor and of every actor below it, each time that the caller asks. Each actor asks its
 * children, over the connections that it has to them anyway, and passes on what they answer.
 */
import type { Runtime } from "../actor/runtime.ts";
import { sleep } from "../deadline.ts";
import type { ActorId } from "../identity.ts";
import { RemotePortal } from "../rpc/portal.ts";
import { leaveUnattended, outsideTasks } from "../rpc/task.ts";
import type { Context, Dialog } from "../rpc/types.ts";
import type { DescribedChild, Family } from "./describe.ts";
import { Measuring, type Reader } from "./measuring.ts";
import type { Sample } from "./sample.ts";

/** One actor of a tree. */
export interface ActorReport {
  readonly id: ActorId;
  /** How often its parent has started it again. */
  readonly restarts: number;
  /** Null if it didn't answer in time, or has no process at the moment. */
  readonly sample: Sample | null;
}

/** One request is the time in milliseconds that the answer may take. Null comes after the last report of an answer. */
export interface TreeSamplesTypes {
  readonly started: undefined;
  readonly send: ActorReport | null;
  readonly receive: number;
}

type ChildDialog = Dialog<undefined, ActorReport | null, number, void>;

/** What of its own time an actor leaves to its children, so that its answer is in time though theirs isn't. */
const shareOfChildren = 0.8;

export async function serveTreeSamples(
  runtime: Runtime,
  family: Family,
  ctx: Context<TreeSamplesTypes>,
): Promise<void> {
  leaveUnattended();
  using reader = Measuring.of(runtime).open();
  await using below = new Children(runtime, family);
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

/** The dialogs with the children, opened when they are first needed. */
class Children implements AsyncDisposable {
  readonly #runtime: Runtime;
  readonly #family: Family;
  readonly #stopWatching: () => void;
  readonly #open = new Map<string, Promise<ChildDialog>>();

  constructor(runtime: Runtime, family: Family) {
    this.#runtime = runtime;
    this.#family = family;
    // so that it measures from now on, and not only from the next request on
    this.#stopWatching = family.watch((uuid) => void this.#dialogWith(uuid).catch(() => {}));
  }

  /** All reports from below, each child's before those of its own children. */
  async collect(withinMs: number): Promise<ActorReport[]> {
    const children = this.#family.children();
    const uuids = new Set(children.map(({ id }) => id.uuid));
    for (const uuid of this.#open.keys()) if (!uuids.has(uuid)) this.#drop(uuid);
    const all = await Promise.all(children.map((child) => this.#ask(child, withinMs)));
    return all.flat();
  }

  async #ask({ id, restarts }: DescribedChild, withinMs: number): Promise<ActorReport[]> {
    const late = new AbortController();
    const reports = this.#reportsOf(id.uuid, withinMs).catch(() => undefined);
    const none = sleep(withinMs, late.signal).then(
      () => undefined,
      () => undefined,
    );
    const found = await Promise.race([reports, none]);
    late.abort();
    const [own, ...below] = found ?? [];
    if (own !== undefined) return [{ ...own, restarts }, ...below];
    // what still comes belongs to no later request
    this.#drop(id.uuid);
    return [{ id, restarts, sample: null }];
  }

  async #reportsOf(uuid: string, withinMs: number): Promise<ActorReport[]> {
    const dialog = await this.#dialogWith(uuid);
    await dialog.send(withinMs);
    const reports: ActorReport[] = [];
    for await (const report of dialog) {
      if (report === null) return reports;
      reports.push(report);
    }
    throw new Error("it has ended");
  }

  #dialogWith(uuid: string): Promise<ChildDialog> {
    let dialog = this.#open.get(uuid);
    if (dialog === undefined) this.#open.set(uuid, (dialog = this.#start(uuid)));
    return dialog;
  }

  async #start(uuid: string): Promise<ChildDialog> {
    const peer = this.#runtime.peers.get(uuid);
    if (peer === undefined) throw new Error("it isn't connected");
    await using portal = new RemotePortal(peer.acquire().handler);
    // not of the call that runs here: a dialog that is dropped ends by itself
    return (await outsideTasks(() => portal.open["furrow.samples"]())) as ChildDialog;
  }

  #drop(uuid: string): void {
    const dialog = this.#open.get(uuid);
    this.#open.delete(uuid);
    dialog?.then(
      (one) => one.cancel("not needed any more"),
      () => {},
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopWatching();
    for (const uuid of Array.from(this.#open.keys())) this.#drop(uuid);
  }
}
