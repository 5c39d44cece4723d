/**
 * What all views of a service share: the instances, the choice among them, and its end.
 *
 * Follows the name by a watch. Between two registrars it goes on with the instances that it knows.
 */
import { currentRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { closedError } from "../channel/channel.ts";
import { Deadline, timing } from "../deadline.ts";
import { readPattern } from "../discovery/pattern.ts";
import { registryPatienceMs } from "../discovery/registrar-link.ts";
import { Registrars } from "../discovery/registrars.ts";
import type { Registration } from "../discovery/registration.ts";
import { Selection } from "../discovery/selection.ts";
import { watchActors } from "../discovery/watch-actors.ts";
import {
  ActorNameError,
  ActorNotFoundError,
  asError,
  causeOf,
  messagesOf,
  TimeoutError,
  TransportClosedError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { selfCallFault } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask } from "../rpc/task.ts";
import { type AddressInput, normalizeAddress } from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { Kind } from "../wire/messages.ts";
import { type Balance, balanceBy, checkBy } from "./balance.ts";
import type { Instance, InstanceHost } from "./instance.ts";
import { Members } from "./members.ts";
import { nearest } from "./nearness.ts";
import { type CallHost, type Placed, ServiceCall } from "./service-call.ts";
import type { ServiceOptions } from "./types.ts";

const log = logger("discovery");

const defaultWaitMs = 5_000;

export class ServiceCore implements CallHost, InstanceHost {
  readonly name: string;
  readonly runtime: Runtime;
  readonly registryAddr: AddressInput | undefined;
  readonly asksLoad: boolean;
  /** What it was closed with. */
  #fault: unknown;
  #isClosed = false;
  readonly #waitMs: number;
  readonly #members: Members;
  readonly #balance: Balance<Instance>;
  /** Ends the watch. */
  readonly #ending = new AbortController();
  /** Resolves with the first state; rejects if the service ends before. */
  readonly #opened = Promise.withResolvers<void>();
  readonly #followed: Promise<void>;
  /** Those who wait for an instance. */
  readonly #waiting = new Set<PromiseWithResolvers<void>>();
  /** All connections that may have calls of this service in flight. */
  readonly #sessions = new Set<Session>();
  readonly #undo: (() => void)[] = [];
  #silenceTimer: Timer | undefined;

  /** @throws {ActorNameError | AddressError | TypeError | RangeError | NoRuntimeError} as `openService` */
  constructor(name: string, options: ServiceOptions) {
    const { by = "round-robin", where = {}, needs = [], registryAddr, waitMs = defaultWaitMs } = options;
    checkActorName(name);
    if (readPattern(name).isPrefix)
      throw new ActorNameError(`a service has one name, and ${JSON.stringify(name)} stands for many`);
    checkBy(by);
    if (!(waitMs >= 0))
      throw new RangeError(`waitMs must be a non-negative number of milliseconds, got ${String(waitMs)}`);
    this.name = name;
    this.runtime = currentRuntime();
    this.registryAddr = registryAddr === undefined ? undefined : normalizeAddress(registryAddr);
    this.asksLoad = by === "least-busy";
    this.#waitMs = waitMs;
    this.#balance = balanceBy<Instance>(by);
    // a key's instance is the same for all callers, wherever they are
    const isNearFirst = typeof by !== "function";
    this.#members = new Members(this, new Selection({ where, needs }), (all) =>
      isNearFirst ? nearest(all, { host: this.runtime.id.host, zone: this.runtime.metadata["zone"] }) : all,
    );
    this.#opened.promise.catch(() => {}); // reported by `opened`, if anyone waits for it
    if (this.asksLoad) this.runtime.serve(Kind.load, (session, message) => session.noteLoad(message[1]));
    this.#undo.push(this.runtime.watchSessions((session) => this.#onSessionEnd(session)));
    this.#followed = this.#follow();
    const { signal } = options;
    if (signal === undefined) return;
    const onAbort = (): void => void this.close(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#undo.push(() => signal.removeEventListener("abort", onAbort));
  }

  get instances(): readonly Registration[] {
    return this.#members.offered;
  }

  /**
   * Resolves when the instances are known.
   *
   * @throws {RegistryUnavailableError | TimeoutError} when no registrar tells them in time
   */
  async opened(signal: AbortSignal | undefined): Promise<void> {
    // a registrar that has just taken over says nothing for a while
    const timeout = registryPatienceMs(this.runtime.limits) + timing.gracePeriodMs;
    const deadline = new Deadline({ signal, timeout }, "opening of service", this.name);
    try {
      await deadline.race("lookup", this.#opened.promise);
    } catch (error) {
      const registrars = Registrars.of(this.runtime);
      const isAlone = !registrars.hasLinks && !registrars.isRegistrar && this.registryAddr === undefined;
      throw error instanceof TimeoutError && isAlone ? registrars.unavailable() : error;
    }
  }

  checkOpen(): void {
    if (this.#isClosed) throw this.#fault;
  }

  choose(fn: string, args: readonly unknown[], except?: Instance): Instance | undefined {
    const usable = except === undefined ? this.#members.usable : this.#members.usableBut(except);
    return this.#balance(usable, fn, args);
  }

  async find(
    fn: string,
    args: readonly unknown[],
    deadline: Deadline,
    first: Instance | undefined,
    except: Instance | undefined = this.#self(),
  ): Promise<Placed> {
    const since = performance.now();
    for (let next = first; ; next = undefined) {
      this.checkOpen();
      deadline.check("wait");
      const instance = next ?? this.choose(fn, args, except);
      if (instance === undefined) {
        await this.#change(since, deadline);
        continue;
      }
      const session = instance.session ?? (await deadline.race("dial", instance.reach()));
      if (session !== undefined) return { instance, session };
    }
  }

  selfFault(): Error | undefined {
    return selfCallFault(this.runtime.id, this.runtime.guard);
  }

  attend(): void {
    if (this.#silenceTimer !== undefined) return;
    this.#silenceTimer = setInterval(() => this.#checkSilence(), timing.silenceCheckMs);
    this.#silenceTimer.unref();
  }

  onChange(): void {
    this.#members.refresh();
    this.#wake();
  }

  onSession(session: Session): void {
    this.#sessions.add(session);
  }

  /** Ends the service; pending calls reject with `fault`, and later ones. Resolves when nothing of it is left. */
  async close(fault: unknown): Promise<void> {
    this.#end(fault);
    await this.#followed;
  }

  #end(fault: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#fault = fault;
    clearInterval(this.#silenceTimer);
    this.#silenceTimer = undefined;
    for (const session of this.#sessions) {
      for (const [, call] of session.pending.entries())
        if (call instanceof ServiceCall && call.host === this)
          call.giveUp(call.cutShort(fault), "the service was closed");
    }
    this.#sessions.clear();
    for (const undo of this.#undo.splice(0)) undo();
    this.#members.end(asError(fault));
    this.#opened.reject(fault);
    this.#wake();
    this.#ending.abort(fault);
  }

  /** Runs until the service ends. */
  async #follow(): Promise<void> {
    const { signal } = this.#ending;
    const { registryAddr } = this;
    const options = { signal, ...(registryAddr !== undefined && { registryAddr }) };
    try {
      for await (const event of watchActors(this.name, options)) {
        this.#members.apply(event);
        this.#opened.resolve();
        this.#wake();
      }
    } catch (error) {
      if (signal.aborted) return;
      const { signal: actor } = this.runtime;
      if (!actor.aborted) log.warn?.(`service "${this.name}" ends: ${asError(error).message}`);
      const text = `service "${this.name}" is closed: ${asError(error).message}`;
      this.#end(actor.aborted ? new TransportClosedError(text, { cause: error }) : error);
    }
  }

  /**
   * Waits until calls may go to other instances than now.
   *
   * @throws {ActorNotFoundError} `waitMs` after `since`
   * @throws {RegistryUnavailableError} then, if there may be some on hosts that can't be known of now
   */
  async #change(since: number, deadline: Deadline): Promise<void> {
    const leftMs = Math.max(0, since + this.#waitMs - performance.now());
    const { remainingMs, signal } = deadline;
    const patience = new Deadline({ timeout: Math.min(leftMs, remainingMs), signal }, "wait");
    const waiter = Promise.withResolvers<void>();
    this.#waiting.add(waiter);
    try {
      await patience.race("wait", waiter.promise);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw leftMs <= remainingMs ? this.#none() : deadline.expired("wait");
    } finally {
      this.#waiting.delete(waiter);
    }
  }

  #none(): Error {
    try {
      if (this.registryAddr === undefined) Registrars.of(this.runtime).checkMiss(this.name);
    } catch (error) {
      return asError(error);
    }
    const faults = this.#members.faults();
    const waited = this.#waitMs === 0 ? "" : ` within ${this.#waitMs} ms`;
    const why = faults.length > 0 ? messagesOf(faults) : "none is registered";
    return new ActorNotFoundError(`no instance of "${this.name}" to call${waited}: ${why}`, {
      cause: causeOf(faults),
    });
  }

  #wake(): void {
    for (const waiter of this.#waiting) waiter.resolve();
  }

  /** This very actor, if a call of it would wait for its own end. */
  #self(): Instance | undefined {
    return ambientTask() !== undefined && this.selfFault() !== undefined
      ? this.#members.get(this.runtime.uuid)
      : undefined;
  }

  #checkSilence(): void {
    let isAnyLeft = false;
    for (const instance of this.#members) if (instance.checkSilence()) isAnyLeft = true;
    if (isAnyLeft) return;
    clearInterval(this.#silenceTimer);
    this.#silenceTimer = undefined;
  }

  #onSessionEnd(session: Session): void {
    this.#sessions.delete(session);
    const { peer } = session;
    const { end } = peer.channel;
    if (end !== undefined)
      this.#members.get(peer.id.uuid)?.lose(session, closedError(end, describeActor(peer.id)));
  }
}
