/** Since when a registrar may be behind with what it says of other hosts, and why. */
import { RegistryUnavailableError, StoreUnavailableError } from "../errors.ts";
import { withoutFrames } from "../frames.ts";

export interface Staleness {
  /** By `performance.now()`. */
  readonly sinceMs: number;
  /** What can't be reached, for people. */
  readonly reason: string;
}

/** The error for a name that isn't known here, while another host may have it. */
export function unknownNow(name: string, { sinceMs, reason }: Staleness): RegistryUnavailableError {
  const seconds = ((performance.now() - sinceMs) / 1_000).toFixed(1);
  const cause = withoutFrames(() => new StoreUnavailableError(reason));
  const text = `whether there is an actor "${name}" on another host is not known: ${reason}, for ${seconds} s now`;
  return new RegistryUnavailableError(text, { cause });
}
