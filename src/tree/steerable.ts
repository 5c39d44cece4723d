/** What those who look at an actor from outside may have its nurseries do; `steering.ts` serves it. */
import { Part } from "../actor/part.ts";
import type { ActorId } from "../identity.ts";
import type { ChildInfo } from "./child-events.ts";

/** A nursery. The functions return undefined if it has no child of that uuid. */
export interface Steerable {
  readonly children: readonly ChildInfo[];
  /** Ends a child and starts it again; resolves with the identity of its next process. */
  restartChild(uuid: string): Promise<ActorId> | undefined;
  /**
   * Replaces a child by one of another module, with its other options; without one, by one of the same modules, which are read
   * again. Resolves with the identity of the new one.
   */
  replaceChild(uuid: string, module: string | undefined): Promise<ActorId> | undefined;
}

/** The open nurseries of an actor. */
export const steerables: Part<ReadonlySet<Steerable>> = new Part();
