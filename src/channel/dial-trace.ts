/** What a dial has tried so far, for the reports of the lookups that wait for it. */
import type { Stage } from "../errors.ts";
import type { Address } from "../transport/address.ts";

/** One address of the target. */
export interface DialAttempt {
  readonly addr: Address;
  /** When it began, by `performance.now()`. */
  readonly since: number;
  /** How long it took; undefined while it is under way. */
  ms: number | undefined;
  /** Why it failed. */
  error: Error | undefined;
}

/** A dial, finished or under way. Several lookups can wait for the same one. */
export interface DialTrace {
  /** The step that it is in. */
  readonly stage: Stage;
  readonly attempts: readonly DialAttempt[];
}

export interface DialObserver {
  /** A dial begins, or one that is under way already is waited for. Not called where a connection exists. */
  onDial(uuid: string, dial: DialTrace): void;
}
