/** What a watch reports, and where it gets that from. */
import type { Registration } from "./registration.ts";

/** One actor came up, changed, or went down. `actor` is as of `revision`; for "down", as it was last. */
export interface ActorChange {
  readonly type: "up" | "changed" | "down";
  readonly actor: Registration;
  readonly revision: number;
}

/** How a change is numbered on the wire. */
export const ChangeType = { up: 0, changed: 1, down: 2 } as const;

/** The whole state: every actor that the pattern matches. */
export interface ActorSync {
  readonly type: "sync";
  readonly actors: Registration[];
  readonly revision: number;
}

/** An event of `watchActors`. The first is a "sync"; another follows whenever changes may have been missed. */
export type ActorEvent = ActorSync | ActorChange;

/** Called synchronously. */
export interface WatchListener {
  /** The whole state is known for the first time, or anew: changes may have been left out before. */
  onSync(): void;
  /** Called after the source has taken the change in. */
  onChange(change: ActorChange): void;
  /** The source gives nothing more. Without an error its registrar is gone, and another may take its place. */
  onEnd(error?: Error): void;
}

/** What one registrar knows of a pattern. */
export interface WatchSource {
  /** Whether the state is known. */
  readonly isReady: boolean;
  /** The registrar's revision of that state. */
  readonly revision: number;
  actors(): Iterable<Registration>;
  find(uuid: string): Registration | undefined;
  /** Ends the watch, or this listener's share of it. */
  close(): void;
}
