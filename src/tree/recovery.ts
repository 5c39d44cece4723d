/**
 * Restarts a child, or several that share their lives, in the order in which they were first started. The processes that
 * still run are ended and reaped before the first of them is started again.
 */
import { sleep } from "../deadline.ts";
import { asError } from "../errors.ts";
import type { Member } from "./member.ts";

export interface RecoveryHost {
  /** Aborted when the nursery ends: nothing is restarted any more. */
  readonly signal: AbortSignal;
  /** Sorts members by their order of starting. */
  inOrder(members: Iterable<Member>): Member[];
  /** Starts the next process of a member; resolves when it's ready. If it can't, or on abort, the process is gone. */
  restart(member: Member, signal: AbortSignal): Promise<void>;
  /** Called when a restart failed: may add members again. */
  onFailedRestart(member: Member, error: Error): void;
  /** Called for the members that aren't restarted because the nursery ends. */
  onGivenUp(member: Member): void;
}

export class Recovery {
  readonly #host: RecoveryHost;
  readonly #waiting = new Set<Member>();
  /** Members that are being ended for good: they too are reaped before anything is started again. */
  readonly #leaving = new Set<Member>();
  /** Aborted when the set of members changes. */
  #round = new AbortController();
  #isRunning = false;

  constructor(host: RecoveryHost) {
    this.#host = host;
  }

  /** Whether the member waits for its next process, or that is starting. */
  has(member: Member): boolean {
    return this.#waiting.has(member);
  }

  /**
   * Restarts `members`, none of them before `dueAt`. Their processes are ended now, and those of `leaving`, which aren't
   * started again. If a restart is in progress, it begins anew with all.
   */
  add(members: readonly Member[], dueAt: number, leaving: readonly Member[]): void {
    for (const member of members) {
      member.state = "restarting";
      member.dueAt = Math.max(member.dueAt, dueAt);
      this.#waiting.add(member);
    }
    for (const member of leaving) this.#leaving.add(member);
    this.#round.abort();
    if (!this.#isRunning) void this.#run();
  }

  /** Doesn't start the member again. */
  remove(member: Member): void {
    if (this.#waiting.delete(member)) this.#round.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#host;
    this.#isRunning = true;
    while (this.#waiting.size > 0 && !signal.aborted) {
      this.#round = new AbortController();
      await this.#restartAll(AbortSignal.any([signal, this.#round.signal]));
    }
    this.#isRunning = false;
    const left = Array.from(this.#waiting);
    this.#waiting.clear();
    for (const member of left) this.#host.onGivenUp(member);
  }

  /** Restarts all, or as many as possible until the signal is aborted or one of them can't be started. */
  async #restartAll(signal: AbortSignal): Promise<void> {
    const members = this.#host.inOrder(this.#waiting);
    const ending = [...members, ...this.#leaving];
    this.#leaving.clear();
    await Promise.all(ending.map((member) => member.stop()));
    for (const member of members) {
      try {
        await sleep(Math.max(0, member.dueAt - performance.now()), signal);
        await this.#host.restart(member, signal);
        // if it has ended already, it waits again
        if (member.process !== undefined) this.#waiting.delete(member);
      } catch (error) {
        if (signal.aborted) return;
        this.#waiting.delete(member);
        this.#host.onFailedRestart(member, asError(error));
        return;
      }
    }
  }
}
