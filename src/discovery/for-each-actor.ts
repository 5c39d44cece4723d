/** `forEachActor`: a task for each live actor of a name, or of all names with a beginning. */
import { currentRuntime } from "../actor/current.ts";
import { sleep, timing } from "../deadline.ts";
import {
  ActorDrainingError,
  ContextCancelledError,
  NotExposedError,
  PermissionDeniedError,
  TimeoutError,
  TransportClosedError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import { openTaskGroup, type TaskGroup } from "../rpc/task-group.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { Lookup } from "./lookup.ts";
import { reach } from "./reach.ts";
import { foundOf, type Registration } from "./registration.ts";
import { watchActors, type WatchOptions } from "./watch-actors.ts";

/** The pauses between attempts to reach an actor that is registered: they double from the first to the longest. */
const firstPauseMs = 50;
const longestPauseMs = 1_000;

/**
 * Runs `fn` once for each live actor whose name matches `pattern` (as for `watchActors`): for those that are there, and
 * for each that comes up. It gets a portal to that actor, which is disposed after it, and a signal that is aborted when
 * that actor goes down, or everything ends. The calls that it makes through portals are cancelled with the signal.
 *
 * An actor that goes down, or refuses a call because it drains, ends its `fn` and nothing else: what `fn` rejects with
 * because of that isn't an error. An actor that can't be reached is tried again until it goes down. One that is draining
 * when it is first seen is left alone. A `fn` that returns isn't run again for the same actor.
 *
 * It runs until it is aborted, or `fn` fails: the first error cancels the others, and when all have ended it rejects as
 * the end of a task group does, with a single error as itself and with several as an `AggregateError`.
 *
 * @throws {ActorNameError | AddressError | NoRuntimeError} when an argument is malformed, or there is no actor
 * @throws {UnauthenticatedError} when this actor and one of them don't trust each other
 * @throws what `fn` rejects with, the reason of `signal`, or what ends a watch; see `watchActors`
 */
export async function forEachActor<M = unknown>(
  pattern: string,
  fn: (portal: Portal<M>, signal: AbortSignal) => Promise<void>,
  options: WatchOptions = {},
): Promise<void> {
  const { signal, registryAddr } = options;
  await using group = openTaskGroup(signal === undefined ? {} : { signal });
  const visits = new Visits<M>(group, fn, registryAddr === undefined ? {} : { registryAddr });
  // the end of the block throws what it, or any visit, fails with
  void group.start(() => visits.follow(pattern));
}

/** One actor, and its `fn`. */
interface Visit {
  /** As it was registered last. */
  actor: Registration;
  /** Aborted when the actor is gone. */
  readonly gone: AbortController;
}

class Visits<M> {
  readonly #group: TaskGroup;
  readonly #fn: (portal: Portal<M>, signal: AbortSignal) => Promise<void>;
  readonly #options: Pick<WatchOptions, "registryAddr">;
  /** By uuid, until the actor is gone. */
  readonly #visits = new Map<string, Visit>();

  constructor(
    group: TaskGroup,
    fn: (portal: Portal<M>, signal: AbortSignal) => Promise<void>,
    options: Pick<WatchOptions, "registryAddr">,
  ) {
    this.#group = group;
    this.#fn = fn;
    this.#options = options;
  }

  /** Begins and ends visits as actors come and go. Called in the group, and so ended with it. */
  async follow(pattern: string): Promise<void> {
    for await (const event of watchActors(pattern, this.#options)) {
      if (event.type === "sync") this.#onSync(event.actors);
      else if (event.type === "down") this.#onGone(event.actor.id.uuid);
      else this.#onActor(event.actor);
    }
  }

  #onSync(actors: readonly Registration[]): void {
    const uuids = new Set(actors.map(({ id }) => id.uuid));
    for (const uuid of this.#visits.keys()) if (!uuids.has(uuid)) this.#onGone(uuid);
    for (const actor of actors) this.#onActor(actor);
  }

  #onActor(actor: Registration): void {
    const visit = this.#visits.get(actor.id.uuid);
    if (visit !== undefined) visit.actor = actor;
    else if (actor.state === "ready") this.#begin(actor);
  }

  #onGone(uuid: string): void {
    const visit = this.#visits.get(uuid);
    if (visit === undefined) return;
    this.#visits.delete(uuid);
    visit.gone.abort(new TransportClosedError(`${describeActor(visit.actor.id)} is gone`));
  }

  #begin(actor: Registration): void {
    const visit = { actor, gone: new AbortController() };
    this.#visits.set(actor.id.uuid, visit);
    void this.#group.start((signal) => this.#visit(visit, signal));
  }

  /** `signal` is the group's. */
  async #visit(visit: Visit, signal: AbortSignal): Promise<void> {
    try {
      await using own = openTaskGroup({ signal: visit.gone.signal });
      void own.start((either) => this.#run(visit, either));
    } catch (error) {
      if (!(await isOfItsEnd(error, visit, signal))) throw error;
    }
  }

  async #run(visit: Visit, signal: AbortSignal): Promise<void> {
    await using portal = await this.#reach(visit, signal);
    await this.#fn(portal, signal);
  }

  async #reach(visit: Visit, signal: AbortSignal): Promise<Portal<M>> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      const { actor } = visit;
      try {
        const lookup = Lookup.at(actor.id.name, { ...this.#options, signal });
        const portal = await reach<M>(lookup, foundOf(actor));
        if (portal !== undefined) return portal;
      } catch (error) {
        // it may be frozen, and may speak again
        if (!(error instanceof TimeoutError)) throw error;
      }
      await sleep(pauseMs * (0.5 + Math.random()), signal);
    }
  }
}

/**
 * Whether `fn` failed because its actor went down, or is about to. It may have seen that before the registrar did: then it
 * waits for that, as long as it may take.
 */
async function isOfItsEnd(error: unknown, { actor, gone }: Visit, signal: AbortSignal): Promise<boolean> {
  if (gone.signal.aborted && error === gone.signal.reason) return true;
  if (error instanceof ActorDrainingError && error.actor.uuid === actor.id.uuid) return true;
  if (gone.signal.aborted || signal.aborted)
    return noticeMs(error, actor) !== undefined && gone.signal.aborted;
  const either = AbortSignal.any([gone.signal, signal]);
  // a live actor may cancel what it runs, too
  if (error instanceof ContextCancelledError && (await isLive(actor, either))) return gone.signal.aborted;
  const waitMs = noticeMs(error, actor);
  if (waitMs === undefined) return false;
  await sleep(waitMs, either).catch(() => {});
  return gone.signal.aborted;
}

/** How long after such an error the registrar may take to notice that the actor is gone; undefined if it isn't. */
function noticeMs(error: unknown, { id }: Registration): number | undefined {
  const { peers, limits } = currentRuntime();
  if (error instanceof TransportClosedError && !peers.get(id.uuid)?.isOpen)
    return timing.pingIntervalMs * (timing.pingsUnanswered + 1);
  // an actor that is being stopped cancels its tasks, then ends its children, and then leaves the registry
  if (error instanceof ContextCancelledError) return limits.stopGraceMs + limits.stopTermMs;
  return undefined;
}

/** Whether the actor answers as one that hasn't begun to end: that one refuses everything, names that it can't have too. */
async function isLive({ id }: Registration, signal: AbortSignal): Promise<boolean> {
  const runtime = currentRuntime();
  if (id.uuid === runtime.uuid) return !runtime.signal.aborted;
  const session = runtime.peers.get(id.uuid)?.handler;
  if (session === undefined) return false;
  const { stopGraceMs: timeout } = runtime.limits;
  const answer = outsideTasks(() => session.call("", [], { signal, timeout }));
  return await answer.then(
    () => true,
    (error: unknown) => error instanceof NotExposedError || error instanceof PermissionDeniedError,
  );
}
