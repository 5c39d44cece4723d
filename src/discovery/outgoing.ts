/**
 * The order in which a registrar sends what follows from its table.
 *
 * A change that concerns many peers is pushed to them a few milliseconds at a time, and everything else waits: the next changes
 * and the acknowledgements for their turn, requests until all has been pushed. So each peer gets the same messages in the same
 * order as if each change had been pushed in no time.
 *
 * While a request waits, its connection isn't read: each peer waits with one at most, as it would if the event loop were held up.
 */
import { asError, FrameError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import { Slices } from "../rpc/slices.ts";

const log = logger("discovery");

/** A change that concerns no more peers is pushed to all of them in one turn, in one write with whatever else they get in it. */
export const mostPushedAtOnce = 64;

export class Outgoing {
  /** Pushes, and what follows each of them. */
  readonly #pushes = new Slices({ stepsPerLook: 4 });
  /** Requests see a table of which all has been pushed. */
  readonly #requests = new Slices({ stepsPerLook: 1, pause: () => this.#pushes.idle });
  #isSpread = false;

  /** Whether a request can be served now. */
  get isIdle(): boolean {
    return this.#requests.isIdle && this.#pushes.isIdle;
  }

  /** Undefined when it is; else resolves when it's time to look again. */
  get idle(): Promise<void> | undefined {
    return this.#requests.idle ?? this.#pushes.idle;
  }

  /** Whether what is pushed now has to be written at once, so that its part of the turn includes that. */
  get isSpread(): boolean {
    return this.#isSpread;
  }

  /** Resolves when all changes so far have been pushed; undefined when they have. */
  get pushed(): Promise<void> | undefined {
    return this.#pushes.isIdle ? undefined : new Promise((resolve) => this.after(resolve));
  }

  /** Pushes a change to about `count` peers: `tell` does it for one of `each`. */
  push<T>(count: number, each: Iterable<T>, tell: (one: T) => void): void {
    if (count <= mostPushedAtOnce && this.#pushes.isIdle)
      return this.#pushes.do(() => {
        for (const one of each) tell(one);
      });
    const rest = each[Symbol.iterator]();
    this.#pushes.add(() => {
      this.#isSpread = true;
      try {
        const { done, value } = rest.next();
        if (done !== true) tell(value);
        return done !== true;
      } finally {
        this.#isSpread = false;
      }
    });
  }

  /** Calls `work` when all changes so far have been pushed. */
  after(work: () => void): void {
    if (this.#pushes.isIdle) work();
    else this.#pushes.do(work);
  }

  /** Calls `answer` when nothing is left to push, after all requests that came before. */
  answer(answer: () => void): void {
    if (this.isIdle) answer();
    else this.#requests.do(answer);
  }

  /** As `answer`, for a request of a peer, unless that is gone by then. */
  take<M>(session: Session, message: M, serve: (session: Session, message: M) => void): void {
    const { channel } = session.peer;
    channel.hold();
    this.answer(() => {
      if (!channel.isOpen) return;
      channel.release();
      try {
        serve(session, message);
      } catch (error) {
        if (!(error instanceof FrameError)) log.error?.(`${channel.label}: ${asError(error).stack}`);
        channel.abort(asError(error));
      }
    });
  }

  /** Does at once all that is left. */
  finish(): void {
    while (!this.isIdle && this.#pushes.finish() && this.#requests.finish());
  }
}
