/** What looks at an actor, while somebody does. Types only; see `rpc/observer.ts`. */
import type { Observer as RequestObserver } from "../rpc/observer.ts";

/** What happens in an actor beside requests; the names of channels, without their prefix. */
export type Occurrence =
  | "actor.started"
  | "actor.ended"
  | "actor.restarted"
  | "registry.change"
  | "peer.open"
  | "peer.close";

export interface Observer extends RequestObserver {
  /** `describe` makes the message; it's called only if somebody reads it. */
  notes(occurrence: Occurrence, describe: () => object): void;
}
