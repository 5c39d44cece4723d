/** The built-in functions that look at an actor: `furrow.ping` and its kin. */
import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";
import type { BuiltIn } from "../rpc/callee/dispatch.ts";

/** What `furrow.ping` answers. */
export interface Pong {
  readonly id: ActorId;
  /** By the actor's clock, in milliseconds since 1970. */
  readonly at: number;
}

export function inspection({ id }: Runtime): Readonly<Record<string, BuiltIn>> {
  return {
    ping: { fn: (): Pong => ({ id, at: Date.now() }) },
  };
}
