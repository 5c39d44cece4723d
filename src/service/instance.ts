/**
 * One instance of a service: what is registered of it, the connection to it, and whether calls may go there.
 *
 * It is connected when a call first needs it, and stays so. An instance that refuses the connection or doesn't answer is
 * left alone: this side tries it again in the background, with pauses, for as long as it is registered.
 */
import type { Runtime } from "../actor/runtime.ts";
import { sleep, startTimer } from "../deadline.ts";
import { Lookup } from "../discovery/lookup.ts";
import { reachPeer } from "../discovery/reach.ts";
import { foundOf, type Registration } from "../discovery/registration.ts";
import { asError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { AddressInput } from "../transport/address.ts";
import type { Candidate } from "./balance.ts";
import { seedOf } from "./rendezvous.ts";

/** How long callers wait for a dial before they try another instance. A healthy one answers in a few ms. */
const slowDialMs = 200;
/** The pauses between attempts to reach an instance: they double from the first to the longest. */
const firstPauseMs = 50;
const longestPauseMs = 1_000;
/** How many checks in a row an instance may be silent after it was asked for a sign of life. */
const silentChecks = 2;
/** How many checks pass before an instance that has answered is asked again. */
const restingChecks = 3;

/** What an instance needs of its service. */
export interface InstanceHost {
  readonly runtime: Runtime;
  readonly registryAddr: AddressInput | undefined;
  /** Whether the instances are asked how busy they are. */
  readonly asksLoad: boolean;
  /** Whether calls may go to an instance has changed. */
  onChange(): void;
  /** A connection to an instance is open. */
  onSession(session: Session): void;
}

export class Instance implements Candidate {
  readonly uuid: string;
  readonly seed: number;
  /** Whether it is this process itself. */
  readonly isLocal: boolean;
  registration: Registration;
  /** Why it doesn't have what the service asks for, if it doesn't. */
  lack: Error | undefined;
  /** Undefined while it isn't connected. A plain field: each call reads it. */
  session: Session | undefined;
  readonly #host: InstanceHost;
  readonly #ending = new AbortController();
  /** It has refused a call because it is about to stop. */
  #refusal: Error | undefined;
  /** Why it can't be reached at the moment. */
  #trouble: Error | undefined;
  /** Whether the connection is open and nothing comes over it. */
  #isSilent = false;
  #attempt: PromiseWithResolvers<Session | undefined> | undefined;
  #isConnecting = false;
  #pauseMs = firstPauseMs;
  #connectedAt = 0;
  /** For `checkSilence`: the oldest call that waited at the last check, how many found silence, and how many to pass. */
  #oldest: number | undefined;
  #silentFor = 0;
  #resting = 0;

  constructor(host: InstanceHost, registration: Registration) {
    const { uuid } = registration.id;
    this.#host = host;
    this.registration = registration;
    this.uuid = uuid;
    this.seed = seedOf(uuid);
    this.isLocal = uuid === host.runtime.uuid;
    if (this.isLocal) this.#adopt(host.runtime.localSession);
  }

  get load(): number {
    const { session } = this;
    return session === undefined ? 0 : session.callsToPeer + session.othersLoad;
  }

  /** Why calls don't go there, or undefined if they do. */
  get fault(): Error | undefined {
    const { registration, lack } = this;
    if (lack !== undefined) return lack;
    if (registration.state !== "ready") return new Error(`${describeActor(registration.id)} is draining`);
    return this.#refusal ?? this.#trouble ?? (this.#isSilent ? this.#silence() : undefined);
  }

  /** Whether it is registered as one that calls may go to, reachable or not. */
  get isOffered(): boolean {
    return this.lack === undefined && this.registration.state === "ready";
  }

  /**
   * Connects to it. Undefined if that has failed, or takes noticeably long: then it goes on in the background, and
   * `fault` says why.
   */
  async reach(): Promise<Session | undefined> {
    if (this.session !== undefined) return this.session;
    if (this.#ending.signal.aborted) return undefined;
    const attempt = (this.#attempt ??= Promise.withResolvers<Session | undefined>());
    if (!this.#isConnecting) void this.#connect();
    return await attempt.promise;
  }

  /** It has refused a call, which tells this side earlier than the registrar that it is about to stop. */
  refuse(refusal: Error): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = refusal;
    this.#host.onChange();
  }

  /** Its connection has ended. The next call opens another, unless that ends as soon as it is open. */
  lose(session: Session, error: Error): void {
    if (session !== this.session) return;
    this.session = undefined;
    this.#isSilent = false;
    this.#silentFor = 0;
    if (this.#ending.signal.aborted) return;
    if (performance.now() - this.#connectedAt < longestPauseMs) {
      this.#note(error);
      if (!this.#isConnecting) void this.#connect(true);
    } else {
      this.#pauseMs = firstPauseMs;
      this.#host.onChange(); // it may have been silent before
    }
  }

  /** It isn't registered any more. What is in flight there may still be answered. */
  end(reason: Error): void {
    const { session } = this;
    this.#ending.abort(reason);
    this.session = undefined;
    if (session !== undefined && !this.isLocal && session.peer.isOpen) session.peer.release();
    this.#settle(undefined);
  }

  /**
   * Looks whether it answers. One whose oldest call has waited since the last check is asked for a sign of life, and left
   * alone if there is none at the next checks, until there is. Returns whether there is anything to check next time.
   */
  checkSilence(): boolean {
    const { session } = this;
    if (session === undefined || this.isLocal) return false;
    const { channel } = session.peer;
    if (channel.isSilent) {
      if (++this.#silentFor === silentChecks) this.#setSilent(true);
      return true;
    }
    this.#silentFor = 0;
    if (this.#isSilent) this.#setSilent(false);
    const { oldest } = session.pending;
    if (this.#resting > 0) this.#resting--;
    else if (oldest !== undefined && oldest === this.#oldest) {
      channel.askForSign();
      this.#resting = restingChecks;
    }
    this.#oldest = oldest;
    return oldest !== undefined;
  }

  #setSilent(isSilent: boolean): void {
    this.#isSilent = isSilent;
    this.#host.onChange();
  }

  #silence(): Error {
    return new TimeoutError(
      "call",
      `${describeActor(this.registration.id)} doesn't answer: it may be frozen`,
    );
  }

  /** Tries until it is connected, or gone. */
  async #connect(isDelayed = false): Promise<void> {
    const { signal } = this.#ending;
    this.#isConnecting = true;
    try {
      if (isDelayed) await this.#pause();
      while (!signal.aborted) {
        const session = await this.#dial();
        if (signal.aborted) return session?.peer.release();
        if (session?.peer.isOpen) return this.#adopt(session);
        await this.#pause();
      }
    } finally {
      this.#isConnecting = false;
    }
  }

  /** Ends early when the instance is gone. */
  async #pause(): Promise<void> {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, longestPauseMs);
    await sleep(pauseMs * (0.5 + Math.random()), this.#ending.signal).catch(() => {});
  }

  async #dial(): Promise<Session | undefined> {
    const { registryAddr } = this.#host;
    const { id } = this.registration;
    const timer = startTimer(slowDialMs, () => {
      const text = `${describeActor(id)} has let a dial wait for ${slowDialMs} ms: it may be frozen`;
      this.#note(new TimeoutError("dial", text));
    });
    try {
      // the connection belongs to the service, not to the call that needs it first
      return await outsideTasks(async () => {
        const { signal } = this.#ending;
        const lookup = Lookup.at(id.name, { signal, ...(registryAddr !== undefined && { registryAddr }) });
        const peer = await reachPeer(lookup, foundOf(this.registration));
        if (peer === undefined) throw lookup.record.failures.at(-1) ?? new Error("it can't be reached");
        return peer.handler;
      });
    } catch (error) {
      this.#note(asError(error));
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  #adopt(session: Session): void {
    this.session = session;
    this.#trouble = undefined;
    this.#connectedAt = performance.now();
    this.#oldest = undefined;
    if (this.#host.asksLoad) session.askLoad();
    this.#host.onSession(session);
    this.#settle(session);
    this.#host.onChange();
  }

  /** It can't be reached for now; those who wait for it try another. */
  #note(trouble: Error): void {
    if (this.#ending.signal.aborted) return;
    this.#trouble = trouble;
    this.#settle(undefined);
    this.#host.onChange();
  }

  #settle(session: Session | undefined): void {
    this.#attempt?.resolve(session);
    this.#attempt = undefined;
  }
}
