/** What the failure of an attempt at one instance means for the call: it goes on to another, or fails. */
import { closedError } from "../channel/channel.ts";
import { ActorDrainingError, ContextCancelledError, FurrowError, TransportClosedError } from "../errors.ts";
import { framesIn, setStack } from "../frames.ts";
import { describeActor } from "../identity.ts";
import { NotRunError } from "../rpc/caller/calls.ts";
import type { Session } from "../rpc/session.ts";
import type { Instance } from "./instance.ts";

/**
 * How often a call that may run twice goes on after it was lost, or cut short. One that brings down each instance that
 * runs it must not bring down all of them, again and again.
 */
const maxLosses = 10;

/** The attempts of one call, stream or dialog. */
export class Attempts {
  readonly #fn: string;
  readonly #isIdempotent: boolean;
  #losses = 0;

  constructor(fn: string, isIdempotent: boolean) {
    this.#fn = fn;
    this.#isIdempotent = isIdempotent;
  }

  /**
   * Takes in the failure of an attempt. Returns when the call goes on to another instance.
   *
   * @throws the error that the call fails with, which names the instance
   */
  goOn(error: unknown, instance: Instance, session: Session): void {
    if (error instanceof ActorDrainingError) {
      instance.refuse(error);
      return;
    }
    if (error instanceof TransportClosedError && !session.peer.isOpen) {
      instance.lose(session, error);
      if (error instanceof NotRunError || this.#mayRepeat()) return;
      throw this.#lost(session);
    }
    // the instance has ended, and its tasks with it; new calls would be refused
    if (error instanceof ContextCancelledError && this.#mayRepeat()) return;
    throw named(error, session);
  }

  #mayRepeat(): boolean {
    return this.#isIdempotent && ++this.#losses <= maxLosses;
  }

  #lost({ peer }: Session): TransportClosedError {
    const times = this.#losses > 1 ? `, the last of ${this.#losses} instances that were lost with it` : "";
    const who = describeActor(peer.id);
    // not the channel's own, which may go on about portals
    const error = closedError(peer.channel.end!, who);
    return new TransportClosedError(`${this.#fn} may have run on ${who}${times}: ${error.message}`, {
      cause: error,
    });
  }
}

/** The error, with the instance in its message if it doesn't name it already. */
function named(error: unknown, session: Session): unknown {
  const who = describeActor(session.peer.id);
  if (!(error instanceof FurrowError) || error.message.includes(who)) return error;
  error.message = `${who}: ${error.message}`;
  setStack(error, framesIn(error.stack));
  return error;
}
