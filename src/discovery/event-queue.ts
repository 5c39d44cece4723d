/**
 * What one reader of a watch has yet to read. Pure: no I/O, no clock.
 *
 * It holds one event for each actor at most: a later one takes the place of an earlier one, and an actor that came and
 * went unread leaves nothing. So it is never longer than the list of the actors that the reader knows or has yet to hear
 * of. Only a reader that had read everything gets the further events of the same turn as they come: it couldn't have read
 * in between.
 */
import type { ActorChange } from "./actor-event.ts";

type ChangeType = ActorChange["type"];

export class EventQueue {
  /** The latest event of each actor, by uuid, in the order of their revisions. */
  readonly #latest = new Map<string, ActorChange>();
  /** All events of a turn at whose beginning there were none. */
  #turn: ActorChange[] | undefined;

  get size(): number {
    return this.#latest.size + (this.#turn?.length ?? 0);
  }

  push(change: ActorChange): void {
    if (this.#turn === undefined) this.#merge(change);
    else this.#turn.push(change);
  }

  /** From now until `endTurn` events are kept one by one. Call it only when the queue is empty. */
  beginTurn(): void {
    this.#turn ??= [];
  }

  endTurn(): void {
    const changes = this.#turn ?? [];
    this.#turn = undefined;
    for (const change of changes) this.#merge(change);
  }

  /** Removes and returns the oldest event. */
  take(): ActorChange | undefined {
    if (this.#turn !== undefined) return this.#turn.shift();
    for (const [uuid, change] of this.#latest) {
      this.#latest.delete(uuid);
      return change;
    }
    return undefined;
  }

  clear(): void {
    this.#latest.clear();
    if (this.#turn !== undefined) this.#turn = [];
  }

  #merge(change: ActorChange): void {
    const { uuid } = change.actor.id;
    const type = mergedType(this.#latest.get(uuid)?.type, change.type);
    // to the end: it now has the latest revision
    this.#latest.delete(uuid);
    if (type !== undefined) this.#latest.set(uuid, type === change.type ? change : { ...change, type });
  }
}

/** What `later` means to a reader that hasn't read `earlier`; undefined when it never has to know. */
function mergedType(earlier: ChangeType | undefined, later: ChangeType): ChangeType | undefined {
  switch (earlier) {
    case undefined:
      return later;
    case "up":
      return later === "down" ? undefined : "up";
    case "changed":
    case "down":
      // an actor that was registered anew under its uuid never went, as far as the reader knows
      return later === "down" ? "down" : "changed";
  }
}
