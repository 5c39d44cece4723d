/**
 * What happened to the actors, for pages that are opened later as well. The registry tells that an actor is gone and its
 * parent how it died, in either order: that is one event.
 */
import type { ActorId } from "../identity.ts";
import type { EventInfo } from "./protocol.ts";

/** How many are kept. */
const maxKept = 200;

/** What says more than another kind about the same moment. */
const moreThan: Partial<Record<EventInfo["what"], EventInfo["what"]>> = {
  died: "ended",
  restarted: "started",
};

export class EventLog {
  readonly #kept: EventInfo[] = [];
  #last = 0;

  get all(): readonly EventInfo[] {
    return this.#kept;
  }

  /** Returns the event as it now stands, with the number of the one that it replaces; undefined if it says nothing new. */
  add(
    what: EventInfo["what"],
    { name, uuid, pid }: ActorId,
    at: number,
    how?: string,
  ): EventInfo | undefined {
    const known = this.#kept.findLastIndex(
      (event) => event.uuid === uuid && (event.what === moreThan[what] || moreThan[event.what] === what),
    );
    const before = this.#kept[known];
    if (before !== undefined && moreThan[what] !== before.what) return undefined;
    const number = before?.number ?? ++this.#last;
    const event: EventInfo = { number, at, what, name, uuid, pid, ...(how !== undefined && { how }) };
    if (before === undefined) this.#kept.push(event);
    else this.#kept[known] = event;
    if (this.#kept.length > maxKept) this.#kept.shift();
    return event;
  }
}
