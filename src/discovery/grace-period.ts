/**
 * A new registrar's grace period: it holds back the answer "no such actor" while actors of the previous registrar may
 * still be on their way back. It ends when each of them has registered or died, or when a bound has passed; in a cluster, not
 * before what other hosts have published is here.
 */
import { timing } from "../deadline.ts";
import type { OtherMembers } from "./roster.ts";

const pollMs = 50;

export class GracePeriod {
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  isOver = false;
  readonly #resolve: () => void;
  readonly #missing = new Set<number>();
  #mayHaveMore = false;
  /** What else has to come first, and whether it is over but for that. */
  #held = 0;
  #isDue = false;
  #poll: Timer | undefined;

  /** Begins at once; its bound counts from `expect` on. */
  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#resolve = resolve;
  }

  /**
   * Says which processes are missing, now that all addresses are bound. `mayHaveMore`: there may be others that this host
   * doesn't know. `alive` is polled for the pids on the roster; undefined when the system doesn't list them.
   */
  expect(others: OtherMembers, mayHaveMore: boolean, alive: () => ReadonlySet<number> | undefined): void {
    if (this.isOver || this.#isDue) return;
    if (others.kind === "none" && !mayHaveMore) return this.end();
    const isBlind = others.kind !== "pids";
    const latestMs = isBlind ? timing.blindGracePeriodMs : timing.gracePeriodMs;
    const earliestMs = isBlind || mayHaveMore ? timing.blindGracePeriodMs : 0;
    this.#mayHaveMore = isBlind || mayHaveMore;
    if (!isBlind) for (const pid of others.pids) this.#missing.add(pid);
    let passedMs = 0;
    let last = performance.now();
    this.#poll = setInterval(() => {
      const now = performance.now();
      // time in which this process is stopped or computes doesn't count: no actor can come back meanwhile
      passedMs += Math.min(now - last, 2 * pollMs);
      last = now;
      if (passedMs >= latestMs) return this.end();
      if (isBlind) return;
      const living = alive();
      for (const pid of this.#missing) if (living?.has(pid) === false) this.#missing.delete(pid);
      if (this.#missing.size === 0 && passedMs >= earliestMs) this.end();
    }, pollMs);
  }

  /** Notes that the process with this pid has registered again. */
  onRegistered(pid: number): void {
    if (this.#missing.delete(pid) && this.#missing.size === 0 && !this.#mayHaveMore) this.end();
  }

  /** Lasts at least until `other` has resolved. */
  hold(other: Promise<void>): void {
    this.#held++;
    void other.then(() => {
      if (--this.#held === 0 && this.#isDue) this.end();
    });
  }

  end(): void {
    if (this.#held === 0) return this.abandon();
    this.#isDue = true;
    clearInterval(this.#poll);
  }

  /** Ends it, whatever it waits for. */
  abandon(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.#poll);
    this.#resolve();
  }
}
