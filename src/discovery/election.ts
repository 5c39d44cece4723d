/**
 * Joins the registrar, or becomes it. There is one such flow in a process, whoever starts it: a boot, or the end of the
 * connection to a registrar. It asks each address that has no registrar who is there, again and again:
 *
 * - a registrar: joins it;
 * - nobody at any, and this is a root: takes the addresses, or lets go of all of them and asks again;
 * - a registrar of ours that does not answer: waits for it;
 * - something else: a boot fails, others go on asking.
 */
import type { Runtime } from "../actor/runtime.ts";
import { type Deadline, sleep } from "../deadline.ts";
import {
  AddressError,
  asError,
  causeOf,
  messagesOf,
  RegistryExistsError,
  RegistryUnavailableError,
  systemCode,
} from "../errors.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import {
  askRegistry,
  describeHolder,
  type KnownRegistrar,
  type Outcome,
  refuseOccupied,
} from "./bootstrap.ts";
import type { Tenure } from "./tenure.ts";

const log = logger("discovery");

/** Waits between rounds; the last one repeats. Each with jitter: all who lost the same registrar would come at once. */
const retryMs = [10, 20, 30, 30, 30, 30, 30, 30, 40, 60, 80, 160, 300] as const;
/** The first wait after a loss. Roots come first: a child can only join. */
const rootJitterMs = 20;
const childDelayMs = 40;
const childJitterMs = 60;
/** For how long a registrar whose connection ended is taken for dead, unless its lock says otherwise. */
const lostMs = 500;
/** After which time a wait for a busy registrar is mentioned in the log. */
const mentionAfterMs = 1_000;
/** How often a boot may find everything absent, and yet in use when it binds. */
const maxLostBinds = 10;
/** In how many rounds a boot must see the registrar that it cannot reach, so that it is not one that is just ending. */
const elsewhereRounds = 3;

/** What the flow does with its findings: the registries of the actor. */
export interface Electorate {
  readonly runtime: Runtime;
  readonly registryAddrs: readonly Address[];
  readonly isRegistrar: boolean;
  readonly hasRegistrar: boolean;
  /** The addresses at which no registrar is known. */
  vacant(): readonly Address[];
  noteFault(addr: Address, error: Error): void;
  /** Connects to a registrar at addresses of its own, and registers there. @throws when that fails */
  attach(registrar: KnownRegistrar): Promise<void>;
  serve(): void;
  unserve(): void;
  onElected(tenure: Tenure): void;
}

/** A boot that waits for the outcome. */
export interface Boot {
  readonly ensureRegistry: boolean;
  /** Where a registrar listens beside the registry addresses. */
  readonly bindAddrs: readonly Address[];
  readonly deadline: Deadline;
}

export class Election {
  readonly #electorate: Electorate;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal = this.#stop.signal;
  /** Binds the actor's own addresses; `hosts`: those of this machine on the way to the registrars. A root has it. */
  listen: ((hosts: readonly string[]) => Promise<void>) | undefined;
  #boot: Boot | undefined;
  #running: Promise<void> | undefined;
  #round = 0;
  #wake: (() => void) | undefined;
  /** Since when, and on whom, it waits. */
  #busy: { readonly since: number; error: Error } | undefined;
  #mentioned = false;
  /** The addresses that did not answer as a registrar when they were last asked. */
  readonly #silent = new Set<Address>();
  #lostBinds = 0;
  #lost: { readonly uuid: string; readonly until: number } | undefined;
  #elsewhere = 0;
  /** What a boot failed with by itself. */
  #failure: unknown;

  constructor(electorate: Electorate) {
    this.#electorate = electorate;
  }

  /** Asks no more, and lets go of what it is just binding. */
  stop(): void {
    this.#stop.abort();
  }

  /** Begins to ask, or to ask again soon. `lost`: the registrar whose connection has ended. */
  start(lost?: string): void {
    if (lost !== undefined) this.#lost = { uuid: lost, until: performance.now() + lostMs };
    this.#round = 0;
    this.#wake?.();
    if (this.#signal.aborted) return;
    if (this.#running !== undefined) return;
    const running = outsideTasks(() => this.#run());
    this.#running = running;
    const onEnd = (): void => {
      this.#running = undefined;
      // an address became vacant as the last round ended
      if (this.#electorate.vacant().length > 0) this.start();
    };
    running.then(onEnd, onEnd);
  }

  /**
   * Resolves when this actor is registered, or is the registrar.
   *
   * @throws {RegistryExistsError} with `ensureRegistry`, when a registrar answers
   * @throws {RegistryOccupiedError} when no registrar answers and something else does
   * @throws {RegistryUnavailableError} when the time or the signal ends a wait for a busy registrar, when the only one
   *   that is there serves none of this actor's addresses, or when it does not take the registration
   * @throws {AddressError} when an address cannot be bound
   */
  async settle(boot: Boot): Promise<void> {
    this.#boot = boot;
    try {
      this.start();
      await boot.deadline.race("wait", this.#running ?? Promise.resolve());
    } catch (error) {
      this.stop();
      if (this.#busy === undefined || error === this.#failure) throw error;
      const waited = Math.round(performance.now() - this.#busy.since);
      throw new RegistryUnavailableError(
        `waited ${waited} ms for a registrar that is there and does not answer: ${this.#busy.error.message}`,
        { cause: error },
      );
    } finally {
      this.#boot = undefined;
    }
  }

  async #run(): Promise<void> {
    while (this.#electorate.vacant().length > 0) {
      await this.#pause();
      try {
        await this.#once();
      } catch (error) {
        if (this.#boot !== undefined) {
          this.#failure = error;
          this.stop();
          throw error;
        }
        this.#signal.throwIfAborted();
        log.error?.(`election: ${asError(error).stack}`);
      }
      // a boot is done; the rest is looked for in the background
      if (this.#boot !== undefined && this.#isSettled) return;
    }
  }

  get #isSettled(): boolean {
    return this.#electorate.isRegistrar || this.#electorate.hasRegistrar;
  }

  async #pause(): Promise<void> {
    const round = this.#round++;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    try {
      await sleep(this.#waitMs(round), AbortSignal.any([this.#signal, woken.signal]));
    } catch (error) {
      if (this.#signal.aborted) throw error;
    } finally {
      this.#wake = undefined;
    }
  }

  #waitMs(round: number): number {
    if (round > 0) return (retryMs[Math.min(round, retryMs.length) - 1] ?? 300) * (0.5 + Math.random());
    if (this.#boot !== undefined) return 0;
    const { isRoot } = this.#electorate.runtime;
    return isRoot ? Math.random() * rootJitterMs : childDelayMs + Math.random() * childJitterMs;
  }

  async #once(): Promise<void> {
    const electorate = this.#electorate;
    const outcomes = await this.#ask(electorate.vacant());
    try {
      for (const outcome of outcomes)
        if (outcome.kind !== "registrar") electorate.noteFault(outcome.addr, outcome.error);
      await this.#join(outcomes);
    } finally {
      for (const outcome of outcomes) if (outcome.kind === "registrar") outcome.release();
    }
    this.#noteBusy(outcomes);
    if (this.#isSettled || electorate.vacant().length !== electorate.registryAddrs.length) return;
    if (this.#boot !== undefined) this.#checkBoot(outcomes);
    const isVacant = outcomes.every(({ kind }) => kind === "absent");
    if (isVacant && electorate.runtime.isRoot) await this.#stand();
  }

  /** Sockets first: a registrar that was found there is not dialled at its other addresses. */
  async #ask(addrs: readonly Address[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const transport of ["unix", "tcp"] as const) {
      const served = outcomes.flatMap((one) => (one.kind === "registrar" ? one.registrar.addrs : []));
      const left = addrs.filter(
        (addr) => parseAddress(addr).transport === transport && !served.includes(addr),
      );
      const { runtime } = this.#electorate;
      outcomes.push(...(await Promise.all(left.map((addr) => this.#askOne(runtime, addr)))));
    }
    return outcomes;
  }

  async #askOne(runtime: Runtime, addr: Address): Promise<Outcome> {
    const outcome = await askRegistry(runtime, addr, this.#isLost, this.#silent.has(addr), this.#signal);
    if (outcome.kind === "busy" || outcome.kind === "occupied") this.#silent.add(addr);
    else this.#silent.delete(addr);
    return outcome;
  }

  readonly #isLost = (uuid: string): boolean =>
    this.#lost?.uuid === uuid && performance.now() < this.#lost.until;

  async #join(outcomes: readonly Outcome[]): Promise<void> {
    const found = outcomes.filter((outcome) => outcome.kind === "registrar");
    const [first] = found;
    if (first === undefined) return;
    const { runtime, registryAddrs } = this.#electorate;
    if (this.#boot?.ensureRegistry) {
      const { name, uuid } = first.registrar;
      throw new RegistryExistsError(
        `ensureRegistry: registrar ${name}#${uuid.slice(0, 8)} serves ${first.addr} already`,
      );
    }
    // listening comes first: the handshake and the registration carry the addresses
    const mustListen = runtime.addrs.length === 0;
    if (mustListen) await this.listen?.(found.map(({ localHost }) => localHost));
    const byUuid = new Map<string, KnownRegistrar>();
    for (const { addr, registrar } of found) {
      const { name, uuid, addrs } = registrar;
      const known = byUuid.get(uuid)?.addrs ?? addrs.filter((one) => registryAddrs.includes(one));
      byUuid.set(uuid, { name, uuid, addrs: known.includes(addr) ? known : [...known, addr] });
    }
    await Promise.all(
      Array.from(byUuid.values(), async (registrar) => {
        try {
          await this.#electorate.attach(registrar);
        } catch (error) {
          this.#signal.throwIfAborted();
          for (const addr of registrar.addrs) this.#electorate.noteFault(addr, asError(error));
          log.info?.(`cannot register with ${registrar.name}: ${asError(error).message}`);
          if (this.#boot !== undefined && error instanceof RegistrationRefused) throw error.cause;
        }
      }),
    );
    // it ended under the registration: whoever stands for registrar listens at other addresses
    if (mustListen && !this.#electorate.hasRegistrar) runtime.listeners.close();
  }

  #noteBusy(outcomes: readonly Outcome[]): void {
    const busy = outcomes.filter(({ kind }) => kind === "busy");
    if (busy.length === 0 || this.#isSettled) {
      this.#busy = undefined;
      this.#mentioned = false;
      return;
    }
    const errors = busy.flatMap((outcome) => (outcome.kind === "busy" ? [outcome.error] : []));
    const error = new Error(messagesOf(errors), { cause: causeOf(errors) });
    if (this.#busy === undefined) this.#busy = { since: performance.now(), error };
    this.#busy.error = error;
    if (this.#mentioned || performance.now() - this.#busy.since < mentionAfterMs) return;
    this.#mentioned = true;
    log.warn?.(`waiting for a registrar that does not answer: ${error.message}`);
  }

  /** What a boot cannot wait for. */
  #checkBoot(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) if (outcome.kind === "unauthenticated") throw outcome.error;
    if (outcomes.some(({ kind }) => kind === "busy")) return;
    refuseOccupied(outcomes);
    const elsewhere = outcomes.find((outcome) => outcome.kind === "elsewhere");
    this.#elsewhere = elsewhere === undefined ? 0 : this.#elsewhere + 1;
    if (elsewhere === undefined || this.#elsewhere < elsewhereRounds) return;
    const { holder, addr } = elsewhere;
    const transports = Array.from(new Set(holder.addrs.map((one) => `"${one.slice(0, one.indexOf(":"))}"`)));
    throw new RegistryUnavailableError(
      `registrar ${describeHolder(holder)} serves ${holder.addrs.join(", ")} and not ${addr}: ` +
        `enable ${transports.join(" and ")} with enableTransports in both programs, and name the same registryAddrs`,
      { cause: elsewhere.error },
    );
  }

  /** All addresses are absent: the first root to take them is the next registrar. */
  async #stand(): Promise<void> {
    const electorate = this.#electorate;
    const { runtime, registryAddrs } = electorate;
    electorate.serve();
    let tenure: Tenure | undefined;
    try {
      // only roots come here
      const { Tenure: Tenures } = require("./tenure.ts") as typeof import("./tenure.ts");
      tenure = await Tenures.begin(runtime, registryAddrs, this.#boot?.bindAddrs);
    } catch (error) {
      electorate.unserve();
      if (this.#boot !== undefined) throw this.#cannotServe(error);
      // not addresses of this host, say: then the registrar must come back by itself
      log.info?.(`cannot take over the registry: ${asError(error).message}`);
      return;
    }
    if (this.#signal.aborted) tenure?.end();
    if (tenure === undefined || this.#signal.aborted) {
      electorate.unserve();
      // another has the lock: the next one, or the lost one itself, which ended the connection and lives
      this.#lost = undefined;
      if (this.#boot !== undefined && ++this.#lostBinds === maxLostBinds) {
        const where = registryAddrs.join(", ");
        throw new RegistryUnavailableError(`registry addresses ${where} are taken, and nobody answers there`);
      }
      return;
    }
    electorate.onElected(tenure);
  }

  #cannotServe(error: unknown): unknown {
    if (!(error instanceof AddressError) || systemCode(error.cause) !== "EADDRNOTAVAIL") return error;
    const where = this.#electorate.registryAddrs.join(", ");
    return new RegistryUnavailableError(
      `no registrar answers at ${where}, and this host cannot serve there: ${error.message}`,
      { cause: error },
    );
  }
}

/** The registrar is there, and does not take the registration; `cause` is what a boot fails with. */
export class RegistrationRefused extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}
