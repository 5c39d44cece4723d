/**
 * How long a new registrar holds back "nobody has this name". Those who were registered before are on their way back: until
 * each of them is here, or is gone, or a bound has passed, a name that is missing may belong to one of them.
 */
import { timing } from "../deadline.ts";
import type { OtherMembers } from "./members.ts";

const pollMs = 50;

export class HoldBack {
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  isOver = false;
  readonly #resolve: () => void;
  readonly #missing = new Set<number>();
  #mayHaveMore = false;
  #poll: Timer | undefined;

  /** Begins at once; its bound counts from `expect`. */
  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#resolve = resolve;
  }

  /**
   * Says who is missing, now that all addresses are bound. `mayHaveMore`: there may be others of whom this host knows
   * nothing. `alive`: whose shares are still held, asked again and again; undefined when the system doesn't say.
   */
  expect(others: OtherMembers, mayHaveMore: boolean, alive: () => ReadonlySet<number> | undefined): void {
    if (this.isOver) return;
    if (others.kind === "none" && !mayHaveMore) return this.end();
    const isBlind = others.kind !== "pids";
    const latestMs = isBlind ? timing.blindHoldBackMs : timing.holdBackMs;
    const earliestMs = isBlind || mayHaveMore ? timing.blindHoldBackMs : 0;
    this.#mayHaveMore = isBlind || mayHaveMore;
    if (!isBlind) for (const pid of others.pids) this.#missing.add(pid);
    let passedMs = 0;
    let last = performance.now();
    this.#poll = setInterval(() => {
      const now = performance.now();
      // while this process is stopped, or computes, nobody can come back: such time is not counted
      passedMs += Math.min(now - last, 2 * pollMs);
      last = now;
      if (passedMs >= latestMs) return this.end();
      if (isBlind) return;
      const living = alive();
      for (const pid of this.#missing) if (living?.has(pid) === false) this.#missing.delete(pid);
      if (this.#missing.size === 0 && passedMs >= earliestMs) this.end();
    }, pollMs);
  }

  /** One is registered again. */
  onRegistered(pid: number): void {
    if (this.#missing.delete(pid) && this.#missing.size === 0 && !this.#mayHaveMore) this.end();
  }

  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.#poll);
    this.#resolve();
  }
}
