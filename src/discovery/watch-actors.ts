/** `watchActors`: who is there under a name, or under all names with a beginning, and every change of that. */
import { currentRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { startTimer } from "../deadline.ts";
import { ambientTask, outsideTasks, type Task } from "../rpc/task.ts";
import { type Address, type AddressInput, normalizeAddress } from "../transport/address.ts";
import type { ActorChange, ActorEvent, WatchListener, WatchSource } from "./actor-event.ts";
import { EventQueue } from "./event-queue.ts";
import { checkPattern } from "./pattern.ts";
import { registryPatienceMs } from "./registrar-link.ts";
import { Registrars } from "./registrars.ts";
import type { Registration } from "./registration.ts";
import { RemoteWatches } from "./remote-watch.ts";
import { WatchMerge } from "./watch-merge.ts";
import { followAddress, followRegistrars, type WatchPlace } from "./watch-places.ts";

export type { ActorEvent } from "./actor-event.ts";

export interface WatchOptions {
  /** Watch at the registrar that serves this address, in place of this actor's own registrars. */
  readonly registryAddr?: AddressInput;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Watches the actors of a name (`"market"`), of all names that begin alike (`"market*"`), or all actors (`"*"`).
 *
 * The first event is a `sync`, with all that are there. After it comes each change, in the order of the registrar's
 * revisions and none left out: `up` when an actor registers, `changed` when it registers other addresses, say, and
 * `down` when it is gone; a process that is started again has a new uuid, so it is a `down` and an `up`. Wherever changes
 * may have been missed there is another `sync`, which says it all anew: once when another registrar has taken over and
 * those that were registered before are back.
 *
 * A reader that takes its time gets the latest state of each actor: changes of one actor that it hasn't read become one,
 * and an actor that came and went meanwhile isn't reported. What it has yet to read never grows beyond one event for each
 * actor.
 *
 * With several registrars an actor is up while any of them knows it. Its changes come from the first that knew it, and
 * revisions of different registrars can't be compared. When one is lost, what only that one knew stays until another has
 * taken its place, or for three times `probeTimeoutMs`.
 *
 * The watch begins with the first `next()`. It waits for a registrar while there is none. Leaving the loop ends it, here
 * and at the registrar.
 *
 * @throws {ActorNameError} when the pattern is malformed
 * @throws {AddressError} when `registryAddr` is malformed
 * @throws {NoRuntimeError} when this process has no actor
 *
 * The iteration rejects with the signal's reason; with the reason of this actor's end; with a `RegistryUnavailableError`
 * when no registrar answers at `registryAddr` to begin with; and with a `LimitError` when the state doesn't fit into a
 * frame, or when this actor has too many watches.
 */
export function watchActors(pattern: string, options: WatchOptions = {}): AsyncIterableIterator<ActorEvent> {
  checkPattern(pattern);
  const { registryAddr, signal } = options;
  const addr = registryAddr === undefined ? undefined : normalizeAddress(registryAddr);
  return new ActorWatch(currentRuntime(), pattern, addr, signal);
}

/** The actors that a watch begins with, draining ones included: what all registrars know. @throws as the watch rejects */
export async function listOnce(pattern: string, signal: AbortSignal): Promise<readonly Registration[]> {
  for await (const event of watchActors(pattern, { signal })) if (event.type === "sync") return event.actors;
  return [];
}

/** How a watch ends. */
type End = { readonly error?: unknown };

class ActorWatch implements AsyncIterableIterator<ActorEvent>, WatchListener {
  readonly #runtime: Runtime;
  readonly #registrars: Registrars;
  readonly #pattern: string;
  readonly #addr: Address | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #task: Task | undefined = ambientTask();
  readonly #merge: WatchMerge<WatchPlace>;
  readonly #queue = new EventQueue();
  readonly #readers: PromiseWithResolvers<IteratorResult<ActorEvent>>[] = [];
  readonly #undo: (() => void)[] = [];
  /** The whole state is to be reported next. It is made when it is read. */
  #needsSync = false;
  #isTurn = false;
  #hasBegun = false;
  #end: End | undefined;

  constructor(runtime: Runtime, pattern: string, addr: Address | undefined, signal: AbortSignal | undefined) {
    this.#runtime = runtime;
    this.#registrars = Registrars.of(runtime);
    this.#pattern = pattern;
    this.#addr = addr;
    this.#signal = signal;
    const patienceMs = registryPatienceMs(runtime.limits);
    this.#merge = new WatchMerge(this, (onOver) => {
      const timer = startTimer(patienceMs, onOver);
      return () => clearTimeout(timer);
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ActorEvent>> {
    if (!this.#hasBegun) this.#begin();
    const event = this.#take();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    const end = this.#end;
    if (end === undefined) {
      const reader = Promise.withResolvers<IteratorResult<ActorEvent>>();
      this.#readers.push(reader);
      return reader.promise;
    }
    this.#end = {};
    return "error" in end ? Promise.reject(end.error) : Promise.resolve({ done: true, value: undefined });
  }

  async return(): Promise<IteratorResult<ActorEvent>> {
    this.#hasBegun = true;
    this.#finish({});
    this.#end = {};
    return { done: true, value: undefined };
  }

  onSync(): void {
    this.#queue.clear();
    this.#needsSync = true;
    this.#serve();
  }

  onChange(change: ActorChange): void {
    // the state to come has it
    if (this.#needsSync) return;
    this.#queue.push(change);
    this.#serve();
  }

  onEnd(error?: Error): void {
    this.#finish({ error });
  }

  #begin(): void {
    this.#hasBegun = true;
    for (const signal of [this.#signal, this.#runtime.signal]) {
      if (signal === undefined) continue;
      if (signal.aborted) return this.#finish({ error: signal.reason });
      const onAbort = (): void => this.#finish({ error: signal.reason });
      signal.addEventListener("abort", onAbort, { once: true });
      this.#undo.push(() => signal.removeEventListener("abort", onAbort));
    }
    const task = this.#task;
    if (task !== undefined) this.#undo.push(task.onAbort((reason) => this.#finish({ error: reason })));
    if (this.#end === undefined) outsideTasks(() => this.#follow());
  }

  #follow(): void {
    const open = (place: WatchPlace, listener: WatchListener): WatchSource => this.#open(place, listener);
    const listener = {
      onPlaces: (places: readonly WatchPlace[]) => this.#merge.setPlaces(places, open),
      onError: (error: Error) => this.#finish({ error }),
    };
    this.#undo.push(
      () => this.#merge.close(),
      this.#addr === undefined
        ? followRegistrars(this.#registrars, listener)
        : followAddress(this.#registrars, this.#addr, listener),
    );
  }

  #open(place: WatchPlace, listener: WatchListener): WatchSource {
    if ("table" in place) return place.watching.watch(this.#pattern, listener);
    return RemoteWatches.of(this.#runtime).open(place, this.#pattern, listener);
  }

  #take(): ActorEvent | undefined {
    if (this.#end !== undefined) return undefined;
    if (!this.#needsSync) return this.#queue.take();
    // its registrar was lost before it was read: there will be another
    if (!this.#merge.isSynced) return undefined;
    this.#needsSync = false;
    return { type: "sync", actors: this.#merge.actors(), revision: this.#merge.revision };
  }

  /** Gives those who wait what there is. */
  #serve(): void {
    while (this.#readers.length > 0) {
      const event = this.#take();
      if (event === undefined) return;
      this.#readers.shift()?.resolve({ done: false, value: event });
      this.#beginTurn();
    }
  }

  /** A reader that waited can't come back before this turn is over, so it isn't slow until then. */
  #beginTurn(): void {
    if (this.#isTurn) return;
    this.#isTurn = true;
    this.#queue.beginTurn();
    // ticks run after the microtasks of this turn, in which it may read
    queueMicrotask(() =>
      process.nextTick(() => {
        this.#isTurn = false;
        this.#queue.endTurn();
      }),
    );
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#queue.clear();
    for (const undo of this.#undo.splice(0)) undo();
    for (const reader of this.#readers.splice(0)) this.next().then(reader.resolve, reader.reject);
  }
}
