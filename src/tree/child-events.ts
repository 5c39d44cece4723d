/** What a nursery tells of its children: a list of those it has, and events as things happen. */
import type { ActorId } from "../identity.ts";
import { Subscriber } from "../rpc/subscriber.ts";

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

/** Passes events on to any number of readers. */
export class ChildEvents {
  readonly #readers = new Set<Subscriber<ChildEvent>>();
  #hasEnded = false;

  subscribe(): AsyncIterableIterator<ChildEvent> {
    const reader = new Subscriber<ChildEvent>(
      maxUnread,
      () => this.#readers.delete(reader),
      "a reader of nursery.events()",
    );
    if (this.#hasEnded) reader.finish({});
    else this.#readers.add(reader);
    return reader;
  }

  emit(type: ChildEvent["type"], id: ActorId, error?: Error): void {
    if (this.#readers.size === 0) return;
    const event: ChildEvent = Object.freeze({ type, id, ...(error && { error }), at: Date.now() });
    for (const reader of this.#readers) reader.push(event);
  }

  /** Ends every reader after the events that it has yet to read. */
  end(): void {
    this.#hasEnded = true;
    for (const reader of this.#readers) reader.finish({});
    this.#readers.clear();
  }
}
