/**
 * What an actor remembers of its children for those who look later: how the last ones ended, and which were started again. Loaded
 * when the first child has ended.
 */
import type { ActorId } from "../identity.ts";

/** How many events are kept, and for how long. */
const maxKept = 64;
const keptMs = 300_000;

/** Something that happened to a child of an actor. */
export interface PastEvent {
  /** As of a `ChildEvent`; and `ended`: the nursery or `replaceActor` has ended the process. */
  readonly type: "died" | "ended" | "restarted" | "gave-up";
  readonly id: ActorId;
  /** As of a `ChildEvent`. */
  readonly error?: Error;
  /** In milliseconds since 1970. */
  readonly at: number;
  /** Of `died` and `ended`: when that process was started, in milliseconds since 1970. */
  readonly startedAt?: number;
  /** Of `died` and `ended`: how often the child had been started again. */
  readonly restarts?: number;
}

export class ChildHistory {
  readonly #kept: PastEvent[] = [];

  add(event: PastEvent): void {
    this.#kept.push(event);
    if (this.#kept.length > maxKept) this.#kept.shift();
  }

  /** The events from that time on, in milliseconds since 1970, the oldest first. */
  since(earliest: number): PastEvent[] {
    const oldest = Date.now() - keptMs;
    while (this.#kept.length > 0 && this.#kept[0]!.at < oldest) this.#kept.shift();
    return this.#kept.filter(({ at }) => at >= earliest);
  }
}
