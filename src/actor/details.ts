/** What an actor lets others know about itself, beside its identity and addresses. */
import type { ExposedFunction } from "../rpc/callee/dispatch.ts";

/** What a program says about its actor: a few short values by name. */
export type Metadata = Readonly<Record<string, string | number | boolean>>;

/** "draining": it finishes what it has begun, and lookups don't find it any more. */
export type ActorState = "ready" | "draining";

export interface Details {
  /** The version that its program gave it. */
  readonly version: string | null;
  readonly metadata: Metadata;
  /** The uuid of the actor that started it; null for a root. */
  readonly parent: string | null;
  /** Milliseconds since 1970; 0 if it isn't known. */
  readonly startedAt: number;
  /** The functions that it exposes: those of its modules one after the other, each module's by name. */
  readonly functions: readonly ExposedFunction[];
  readonly state: ActorState;
}

/** The details that can change while an actor runs. */
export type DetailsChange = Partial<Pick<Details, "metadata" | "state">>;
