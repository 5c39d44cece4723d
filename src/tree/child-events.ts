/** What a nursery tells of its children: a list of those it has, and events as things happen. */
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";
import { Subscriber } from "../rpc/subscriber.ts";
import type { ChildHistory, PastEvent } from "./child-history.ts";

/**
 * `restarting`: its process has ended, or is being ended because a sibling failed, and the next one isn't ready yet.
 * `draining`: `replaceActor` has replaced it, and it finishes what runs. `stopping`: it is being ended for good.
 */
export type ChildState = "starting" | "ready" | "restarting" | "draining" | "stopping";

/** A child of a nursery. A snapshot. */
export interface ChildInfo {
  /** Of its current process; while there is none, of the last one. */
  readonly id: ActorId;
  /** How often it was started again. */
  readonly restarts: number;
  /** When that process was started, in milliseconds since 1970. */
  readonly startedAt: number;
  readonly state: ChildState;
}

/** What happened to a child of a nursery. */
export interface ChildEvent {
  /**
   * `started`: its first process is ready. `died`: a process has ended, though neither the end of the nursery nor
   * `replaceActor` ended it. `restarted`: its next process is ready; `id` is the new one. `gave-up`: it would have been
   * restarted, but its restarts are used up; `id` is that of the last process that was ready.
   */
  readonly type: "started" | "died" | "restarted" | "gave-up";
  readonly id: ActorId;
  /** Why it failed; undefined when it ended in order, or was ended because a sibling failed. */
  readonly error?: Error;
  /** In milliseconds since 1970. */
  readonly at: number;
}

/** How many events a reader may leave unread. */
const maxUnread = 1_024;

type Readers = Set<Subscriber<ChildEvent>>;

function subscribe(readers: Readers, what: string): Subscriber<ChildEvent> {
  const reader = new Subscriber<ChildEvent>(maxUnread, () => readers.delete(reader), what);
  readers.add(reader);
  return reader;
}

const actorReaders: Part<Readers> = new Part();

/** The readers of the events of all nurseries of an actor. */
export function readersOf(runtime: Runtime): Readers {
  return actorReaders.ensure(runtime, () => new Set());
}

/** Reads what happens to the children of all nurseries of an actor, those included that it opens later. */
export function eventsOf(runtime: Runtime): Subscriber<ChildEvent> {
  return subscribe(readersOf(runtime), "a reader of furrow.events()");
}

const histories: Part<ChildHistory> = new Part();

/** Keeps an event for those who look at the actor later. */
export function remember(runtime: Runtime, event: PastEvent): void {
  const history = histories.ensure(runtime, () => {
    const { ChildHistory } = require("./child-history.ts") as typeof import("./child-history.ts");
    return new ChildHistory();
  });
  history.add(event);
}

/** What is kept of the children of all nurseries of an actor, from that time on, in milliseconds since 1970. */
export function pastOf(runtime: Runtime, earliest: number): readonly PastEvent[] {
  return histories.find(runtime)?.since(earliest) ?? [];
}

/** A process that has ended. */
export interface EndedProcess {
  readonly id: ActorId;
  readonly startedAt: number;
  /** How often the child had been started again. */
  readonly restarts: number;
}

/** Passes the events of a nursery on to any number of readers. */
export class ChildEvents {
  readonly #readers: Readers = new Set();
  readonly #actorReaders: Readers;
  readonly #remember: (event: PastEvent) => void;
  #hasEnded = false;

  /**
   * `ofActor`: the readers of its actor, which get the events of its other nurseries as well. `keep`: receives what is to be
   * remembered.
   */
  constructor(ofActor: Readers = new Set(), keep: (event: PastEvent) => void = () => {}) {
    this.#actorReaders = ofActor;
    this.#remember = keep;
  }

  subscribe(): AsyncIterableIterator<ChildEvent> {
    const reader = subscribe(this.#readers, "a reader of nursery.events()");
    if (this.#hasEnded) this.end();
    return reader;
  }

  emit(type: Exclude<ChildEvent["type"], "died">, id: ActorId, error?: Error): void {
    // those that run can be found
    if (type === "started" && this.#readers.size === 0 && this.#actorReaders.size === 0) return;
    const event = Object.freeze({ type, id, ...(error && { error }), at: Date.now() });
    if (event.type !== "started") this.#remember({ ...event, type: event.type });
    this.#pass(event);
  }

  /** A process has ended. `isAsked`: the nursery or `replaceActor` has ended it, and it didn't fail. */
  emitEnd({ id, startedAt, restarts }: EndedProcess, isAsked: boolean, error?: Error): void {
    const event = { id, ...(error && { error }), at: Date.now() };
    this.#remember({ ...event, type: isAsked ? "ended" : "died", startedAt, restarts });
    if (!isAsked) this.#pass(Object.freeze({ ...event, type: "died" }));
  }

  #pass(event: ChildEvent): void {
    for (const reader of this.#readers) reader.push(event);
    for (const reader of this.#actorReaders) reader.push(event);
  }

  /** Ends every reader after the events that it has yet to read. */
  end(): void {
    this.#hasEnded = true;
    for (const reader of this.#readers) reader.finish({});
    this.#readers.clear();
  }
}
