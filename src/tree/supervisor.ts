/** Decides what the end of a child means: for itself, for its siblings, and for the nursery. */
import type { Runtime } from "../actor/runtime.ts";
import { asError, SpawnError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { logger } from "../log.ts";
import { ChildEvents, type ChildInfo, readersOf, remember } from "./child-events.ts";
import { developVariable } from "./child-init.ts";
import type { ChildProcess } from "./child-process.ts";
import type { Member } from "./member.ts";
import { Recovery } from "./recovery.ts";

const log = logger("tree");

/** Whose lives a child shares: those of all its siblings, of none, or of the ones that were started after it. */
export type Strategy = "one-for-all" | "one-for-one" | "rest-for-one";

const strategies: readonly unknown[] = ["one-for-all", "one-for-one", "rest-for-one"];

/** @throws {RangeError} when it isn't a strategy */
export function checkStrategy(strategy: unknown): void {
  if (strategy === undefined || strategies.includes(strategy)) return;
  throw new RangeError(
    `strategy must be "one-for-all", "one-for-one" or "rest-for-one", got ${JSON.stringify(strategy)}`,
  );
}

export interface SupervisorHost {
  readonly runtime: Runtime;
  /** Aborted when the nursery has failed or is being cancelled. */
  readonly signal: AbortSignal;
  /** Starts the next process of a member; resolves when it's ready. If it can't, or on abort, the process is gone. */
  restart(member: Member, signal: AbortSignal): Promise<void>;
  /** Aborts the nursery's signal. */
  abort(failure: Error): void;
}

export class Supervisor {
  readonly events: ChildEvents;
  readonly failures: Error[] = [];
  readonly #host: SupervisorHost;
  readonly #strategy: Strategy | undefined;
  /** In the order in which they were started. */
  readonly #members: Member[] = [];
  /** The restarts in progress: one for all members that share their lives, otherwise one for each. */
  readonly #recoveries = new Map<Member | "all", Recovery>();
  /** Resolves when a member is dropped, or becomes ready. */
  #changed = Promise.withResolvers<void>();

  constructor(host: SupervisorHost, strategy: Strategy | undefined) {
    this.#host = host;
    this.#strategy = strategy;
    this.events = new ChildEvents(readersOf(host.runtime), (event) => remember(host.runtime, event));
  }

  /** In the order in which they were started. Those that wait for a restart are included. */
  get members(): readonly Member[] {
    return this.#members;
  }

  get children(): readonly ChildInfo[] {
    const { aborted } = this.#host.signal;
    return Object.freeze(this.#members.flatMap((member) => member.info(aborted) ?? []));
  }

  add(member: Member): void {
    this.#members.push(member);
  }

  /** Follows the member's process to its end, and deals with that. */
  watch(member: Member, child: ChildProcess): void {
    member.adopt(child);
    member.watched = this.#watch(member, child);
  }

  /** Called when the member's first process is ready. */
  onStarted(member: Member): void {
    if (member.hasStarted) return;
    member.hasStarted = true;
    if (member.state === "starting") member.state = "ready";
    // under `furrow dev`, any may be started again
    if (!member.budget.restarts && process.env[developVariable] === undefined) member.data = undefined;
    this.#tellReady("started", member);
  }

  /** The member whose current process has this uuid; while there is none, its last one. */
  ofUuid(uuid: string): Member | undefined {
    return this.#members.find(({ id }) => id?.uuid === uuid);
  }

  /** The members of that name, other than those that are starting, or are being ended. */
  named(name: string): Member[] {
    return this.#members.filter(
      (member) => member.name === name && member.hasStarted && !member.isLeaving && !member.plan.isOneCall,
    );
  }

  /**
   * Drains and ends a member that `successor` has replaced. That takes its place in the order of starting. Resolves when its
   * process has been reaped.
   */
  async retire(member: Member, successor: Member, timeoutMs: number): Promise<void> {
    const at = this.#members.indexOf(member);
    if (at < 0 || member.isLeaving) return;
    member.successor = successor;
    member.isLeaving = true;
    this.#recoveries.get(this.#keyOf(member))?.remove(member);
    member.state = "draining";
    this.#move(successor, at);
    await member.process?.retire(timeoutMs);
    await member.watched;
    this.drop(member);
  }

  #move(member: Member, to: number): void {
    const at = this.#members.indexOf(member);
    if (at <= to) return;
    this.#members.splice(at, 1);
    this.#members.splice(to, 0, member);
  }

  /** Removes a member: it isn't started again. */
  drop(member: Member): void {
    const at = this.#members.indexOf(member);
    if (at < 0) return;
    member.state = "stopping";
    member.release?.();
    member.endOutput?.();
    this.#members.splice(at, 1);
    this.#recoveries.delete(member);
    this.#notify();
    this.#endEventsIfOver();
  }

  /**
   * Ends the member's process with the stop ladder and starts it again, whatever its policy says; its siblings aren't concerned.
   * Resolves with the identity of the next process once it's ready.
   *
   * @throws {SpawnError} when it can't be started; unless its policy tries again, that is a failure of the member
   */
  async restart(member: Member): Promise<ActorId> {
    log.warn?.(`restarting "${member.name}", as asked`);
    this.#recoveryOf(member).add([member], performance.now(), []);
    while (member.state === "restarting") await this.#changed.promise;
    if (member.state === "ready" && member.readyId !== undefined) return member.readyId;
    const cause = this.failures.at(-1);
    throw new SpawnError(`actor "${member.name}" was ended, and did not start again`, { cause });
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  /** Resolves when no member is left. */
  async ended(): Promise<void> {
    while (this.#members.length > 0) await this.#changed.promise;
  }

  /** Ends all processes; resolves when no member is left. The nursery's signal must be aborted, so that none comes back. */
  async stopAll(): Promise<void> {
    for (const { process } of this.#members) void process?.stop();
    await this.ended();
    this.#endEventsIfOver();
  }

  /** Nothing is started any more once the nursery's signal is aborted. */
  #endEventsIfOver(): void {
    if (this.#members.length === 0 && this.#host.signal.aborted) this.events.end();
  }

  async #watch(member: Member, child: ChildProcess): Promise<void> {
    const failure = await child.ended;
    if (member.process === child) member.process = undefined;
    // otherwise whoever started it reports it
    if (child.hasStarted) this.#onEnd(member, child, failure);
  }

  #onEnd(member: Member, child: ChildProcess, failure: Error | undefined): void {
    const { aborted } = this.#host.signal;
    this.onStarted(member); // in case it ended in the moment in which it became ready
    const isAsked = aborted || member.successor !== undefined;
    const { startedAt, restarts } = member;
    this.events.emitEnd({ id: child.id, startedAt, restarts }, isAsked && failure === undefined, failure);
    if (this.#isRestarting(member) && child.isStopping) {
      if (failure !== undefined) log.info?.(`while "${member.name}" was being ended: ${failure.message}`);
      return;
    }
    if (!member.plan.isOneCall && !member.isLeaving) {
      this.#restartOrDrop(member, failure);
      return;
    }
    this.drop(member);
    if (failure === undefined || member.plan.isOneCall) return;
    // the one that has replaced it is up: that must not end for this
    if (member.successor !== undefined)
      log.warn?.(`"${member.name}" was replaced, and failed: ${failure.message}`);
    else this.#fail(member, failure);
  }

  #restartOrDrop(member: Member, failure: Error | undefined): void {
    const { budget } = member;
    const wait = budget.next(failure !== undefined, performance.now());
    if (wait !== undefined) {
      // when the nursery ends, it would still have been restarted: its end doesn't count as a failure
      if (this.#host.signal.aborted) this.drop(member);
      else this.#restart(member, failure, wait);
      return;
    }
    if (budget.appliesTo(failure !== undefined) && !this.#host.signal.aborted) this.#giveUp(member, failure);
    const after = this.#sharersOf(member, true);
    this.drop(member);
    if (failure !== undefined) this.#fail(member, failure, after);
  }

  #restart(member: Member, failure: Error | undefined, wait: number): void {
    const { name, budget } = member;
    const { maxRestarts, withinMs } = budget.policy;
    const why = failure === undefined ? "it has ended" : failure.message;
    log.warn?.(
      `restarting "${name}" in ${wait} ms (${budget.used} of ${maxRestarts} restarts within ${withinMs} ms): ${oneLine(why)}`,
    );
    const sharers = this.#sharersOf(member, false);
    const leaving = sharers.filter((sharer) => !sharer.budget.restarts);
    const restarted = sharers.filter((sharer) => sharer.budget.restarts);
    for (const sharer of restarted) log.warn?.(`restarting "${sharer.name}" with "${name}"`);
    for (const sharer of leaving) this.#leave(sharer, `"${name}" is being restarted`);
    this.#recoveryOf(member).add([member, ...restarted], performance.now() + wait, leaving);
  }

  #giveUp(member: Member, failure: Error | undefined): void {
    const { maxRestarts, withinMs } = member.budget.policy;
    const why = failure === undefined ? "it has ended" : failure.message;
    log.warn?.(
      `not restarting "${member.name}": ${maxRestarts} restarts within ${withinMs} ms are used up: ${oneLine(why)}`,
    );
    if (member.readyId !== undefined) this.events.emit("gave-up", member.readyId, failure);
  }

  /** A failure after which the member isn't restarted. */
  #fail(member: Member, failure: Error, sharers: readonly Member[] = this.#sharersOf(member, true)): void {
    log.info?.(failure.message);
    this.failures.push(failure);
    const strategy = this.#strategy ?? "one-for-all";
    if (strategy === "one-for-all") {
      this.#host.abort(failure);
      for (const { process } of this.#members) void process?.stop();
      this.#endEventsIfOver();
      return;
    }
    for (const sharer of sharers) {
      this.#leave(sharer, `"${member.name}" has failed`);
      this.#recoveries.get("all")?.remove(sharer);
      void sharer.stop().then(() => this.drop(sharer));
    }
  }

  #tellReady(type: "started" | "restarted", member: Member): void {
    const { id } = member;
    if (id === undefined) return;
    member.readyId = id;
    this.events.emit(type, id);
    this.#notify();
  }

  /** Marks a member whose process is ended for good, which its own restart policy has no say in. */
  #leave(member: Member, why: string): void {
    if (member.isLeaving) return;
    log.warn?.(`ending "${member.name}": ${why}`);
    member.isLeaving = true;
    member.endedBy = new SpawnError(`actor "${member.name}" did not start: ${why}`);
  }

  /** The members that share this one's life. Those that are still starting share its end, but not its restarts. */
  #sharersOf(member: Member, withStarting: boolean): Member[] {
    const at = this.#members.indexOf(member);
    if (this.#strategy === undefined || this.#strategy === "one-for-one" || at < 0) return [];
    const others = this.#strategy === "rest-for-one" ? this.#members.slice(at + 1) : this.#members;
    return others.filter(
      (other) =>
        other !== member && !other.plan.isOneCall && !other.isLeaving && (withStarting || other.hasStarted),
    );
  }

  #isRestarting(member: Member): boolean {
    return this.#recoveries.get(this.#keyOf(member))?.has(member) ?? false;
  }

  #keyOf(member: Member): Member | "all" {
    return this.#strategy === "one-for-all" || this.#strategy === "rest-for-one" ? "all" : member;
  }

  #recoveryOf(member: Member): Recovery {
    const key = this.#keyOf(member);
    let recovery = this.#recoveries.get(key);
    if (recovery !== undefined) return recovery;
    recovery = new Recovery({
      signal: this.#host.signal,
      inOrder: (members) => {
        const wanted = new Set(members);
        return this.#members.filter((one) => wanted.has(one));
      },
      restart: async (one, signal) => {
        await this.#host.restart(one, signal);
        if (one.process === undefined) return; // it has ended already
        one.state = "ready";
        one.restarts++;
        this.#tellReady("restarted", one);
      },
      // a failed start uses up a restart too
      onFailedRestart: (one, error) => this.#restartOrDrop(one, asError(error)),
      onGivenUp: (one) => this.drop(one),
    });
    this.#recoveries.set(key, recovery);
    return recovery;
  }
}

/** Messages may quote a child's stderr. */
function oneLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
