/**
 * Joins the registrar, or becomes it. A process runs one such flow at a time, started by a boot or by the loss of a
 * registrar. It probes each address that has no known registrar, again and again, and finds:
 *
 * - a registrar: joins it;
 * - nothing at any address, and this is a root: takes all of them, or lets go of all and probes again;
 * - a furrow registrar that doesn't answer: waits for it;
 * - something else: a boot fails, a running actor goes on probing.
 */
import type { DialTarget } from "../channel/peer.ts";
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
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { describeHolder, type Outcome, probeRegistry, refuseOccupied } from "./probe.ts";
import { RegistrationRefused } from "./registrar-link.ts";
import type { Registrars } from "./registrars.ts";
import type { Tenure } from "./tenure.ts";

const log = logger("discovery");

/** Waits between rounds; the last one repeats. All have jitter, or all that lost a registrar would come at once. */
const retryMs = [10, 20, 30, 30, 30, 30, 30, 30, 40, 60, 80, 160, 300] as const;
/** The first wait of a running actor, root or child. A child has mostly waited for its parent before. */
const rootJitterMs = 20;
const childJitterMs = 60;
/** How long a registrar whose connection ended counts as dead, unless its lock says otherwise. */
const lostMs = 500;
/** A wait for a busy registrar is logged once it has taken this long. */
const mentionAfterMs = 1_000;
/** How often a boot may find all addresses absent and then fail to bind them, because they are in use. */
const maxLostBinds = 10;
/** In how many rounds a boot must see a registrar it can't reach: a single sight may be one that is just ending. */
const elsewhereRounds = 3;

/** The actor that runs the flow: what it does with the outcome. */
export interface Candidate {
  /** Connects to a registrar at the registry addresses it serves, and registers there. @throws when that fails */
  join(registrar: DialTarget): Promise<void>;
  /** Becomes the registrar: all registry addresses are bound. */
  onElected(tenure: Tenure): void;
}

/** A boot that waits for the outcome. */
export interface Boot {
  readonly ensureRegistry: boolean;
  /** Where a registrar listens in addition to the registry addresses. */
  readonly bindAddrs: readonly Address[];
  readonly deadline: Deadline;
  /** Of one that can't become the registrar: nothing listens at any registry address. @throws to end the wait */
  readonly onVacant?: () => void;
}

export class Election {
  readonly #registrars: Registrars;
  readonly #candidate: Candidate;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal = this.#stop.signal;
  /** Binds a root's own addresses; `hosts`: the addresses of this machine on the way to the registrars. */
  listen: ((hosts: readonly string[]) => Promise<void>) | undefined;
  #boot: Boot | undefined;
  #running: Promise<void> | undefined;
  #round = 0;
  #wake: (() => void) | undefined;
  /** Since when it has waited for a busy registrar, and what that last failed with. */
  #busy: { readonly since: number; error: Error } | undefined;
  #mentioned = false;
  /** The addresses where no registrar answered the last probe, though something is there. */
  readonly #silent = new Set<Address>();
  #lostBinds = 0;
  #lost: { readonly uuid: string; readonly until: number } | undefined;
  #elsewhere = 0;
  /** What made a boot fail, other than the end of its wait. */
  #failure: unknown;

  constructor(registrars: Registrars, candidate: Candidate) {
    this.#registrars = registrars;
    this.#candidate = candidate;
  }

  /** Ends the flow, and releases anything it is just binding. */
  stop(): void {
    this.#stop.abort();
  }

  /** Starts probing, or makes a running flow probe again soon. `lost`: the registrar whose connection has ended. */
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
      // an address may have become vacant as the last round ended
      if (this.#registrars.vacant().length > 0) this.start();
    };
    running.then(onEnd, onEnd);
  }

  /**
   * Resolves when this actor is registered, or is the registrar.
   *
   * @throws {RegistryExistsError} with `ensureRegistry`, when a registrar answers
   * @throws {RegistryOccupiedError} when no registrar answers and something else does
   * @throws {RegistryUnavailableError} when the timeout or the signal ends a wait for a busy registrar, when the only
   *   registrar there serves none of this actor's addresses, or when it refuses the registration
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
        `waited ${waited} ms for a registrar that doesn't answer: ${this.#busy.error.message}`,
        { cause: error },
      );
    } finally {
      this.#boot = undefined;
    }
  }

  async #run(): Promise<void> {
    while (this.#registrars.vacant().length > 0) {
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
      // a boot needs one registrar; the others are looked for in the background
      if (this.#boot !== undefined && this.#isSettled) return;
    }
  }

  get #isSettled(): boolean {
    return this.#registrars.isRegistrar || this.#registrars.hasLinks;
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
    return Math.random() * (this.#registrars.runtime.isRoot ? rootJitterMs : childJitterMs);
  }

  async #once(): Promise<void> {
    const registrars = this.#registrars;
    const outcomes = await this.#probe(registrars.vacant());
    try {
      for (const outcome of outcomes)
        if (outcome.kind !== "registrar") registrars.noteFault(outcome.addr, outcome.error);
      await this.#join(outcomes);
    } finally {
      for (const outcome of outcomes) if (outcome.kind === "registrar") outcome.release();
    }
    this.#noteBusy(outcomes);
    if (this.#isSettled || registrars.vacant().length !== registrars.registryAddrs.length) return;
    if (this.#boot !== undefined) this.#checkBoot(outcomes);
    const isVacant = outcomes.every(({ kind }) => kind === "absent");
    if (!isVacant) return;
    if (registrars.runtime.isRoot) await this.#stand();
    else this.#boot?.onVacant?.();
  }

  /** Sockets first: a registrar found there isn't dialled at its other addresses. */
  async #probe(addrs: readonly Address[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const transport of ["unix", "tcp"] as const) {
      const served = outcomes.flatMap((one) => (one.kind === "registrar" ? one.registrar.addrs : []));
      const left = addrs.filter(
        (addr) => parseAddress(addr).transport === transport && !served.includes(addr),
      );
      outcomes.push(...(await Promise.all(left.map((addr) => this.#probeOne(addr)))));
    }
    return outcomes;
  }

  async #probeOne(addr: Address): Promise<Outcome> {
    const { runtime } = this.#registrars;
    const outcome = await probeRegistry(runtime, addr, this.#isLost, this.#silent.has(addr), this.#signal);
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
    const { runtime, registryAddrs } = this.#registrars;
    if (this.#boot?.ensureRegistry) {
      throw new RegistryExistsError(
        `ensureRegistry: registrar ${describeActor(first.registrar)} already serves ${first.addr}`,
      );
    }
    // listening comes first: the handshake and the registration carry the addresses
    const mustListen = runtime.addrs.length === 0;
    if (mustListen) await this.listen?.(found.map(({ localHost }) => localHost));
    const byUuid = new Map<string, DialTarget>();
    for (const { addr, registrar } of found) {
      const { name, uuid, addrs } = registrar;
      const known = byUuid.get(uuid)?.addrs ?? addrs.filter((one) => registryAddrs.includes(one));
      byUuid.set(uuid, { name, uuid, addrs: known.includes(addr) ? known : [...known, addr] });
    }
    await Promise.all(
      Array.from(byUuid.values(), async (registrar) => {
        try {
          await this.#candidate.join(registrar);
        } catch (error) {
          this.#signal.throwIfAborted();
          for (const addr of registrar.addrs) this.#registrars.noteFault(addr, asError(error));
          log.info?.(`cannot register with ${registrar.name}: ${asError(error).message}`);
          if (this.#boot !== undefined && error instanceof RegistrationRefused) throw error.cause;
        }
      }),
    );
    // the registrar ended during the registration; one that stands in its place listens at other addresses
    if (mustListen && !this.#registrars.hasLinks) runtime.listeners.close();
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
    log.warn?.(`waiting for a registrar that doesn't answer: ${error.message}`);
  }

  /** Fails a boot for outcomes that waiting can't change. */
  #checkBoot(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) if (outcome.kind === "unauthenticated") throw outcome.error;
    if (outcomes.some(({ kind }) => kind === "busy")) return;
    refuseOccupied(outcomes);
    const elsewhere = outcomes.find((outcome) => outcome.kind === "elsewhere");
    this.#elsewhere = elsewhere === undefined ? 0 : this.#elsewhere + 1;
    if (elsewhere === undefined || this.#elsewhere < elsewhereRounds) return;
    const { holder, addr } = elsewhere;
    const transports = Array.from(new Set(holder.addrs.map((one) => `"${one.slice(0, one.indexOf(":"))}"`)));
    const whatToDo = this.#registrars.runtime.isClient
      ? "name those as registryAddrs"
      : `enable ${transports.join(" and ")} with enableTransports in both programs, and name the same registryAddrs`;
    throw new RegistryUnavailableError(
      `registrar ${describeHolder(holder)} serves ${holder.addrs.join(", ")} but not ${addr}: ${whatToDo}`,
      { cause: elsewhere.error },
    );
  }

  /** All addresses are absent: the first root to take them is the next registrar. */
  async #stand(): Promise<void> {
    const registrars = this.#registrars;
    const { runtime, registryAddrs } = registrars;
    registrars.serve();
    let tenure: Tenure | undefined;
    try {
      // only roots need this file
      const { Tenure: Tenures } = require("./tenure.ts") as typeof import("./tenure.ts");
      tenure = await Tenures.begin(runtime, registryAddrs, this.#boot?.bindAddrs);
    } catch (error) {
      registrars.unserve();
      if (this.#boot !== undefined) throw this.#cannotServe(error);
      // addresses of another host, say: its registrar must come back by itself
      log.info?.(`cannot take over the registry: ${asError(error).message}`);
      return;
    }
    if (this.#signal.aborted) tenure?.end();
    if (tenure === undefined || this.#signal.aborted) {
      registrars.unserve();
      // another process has the lock: the next registrar, or the lost one, alive after it ended the connection
      this.#lost = undefined;
      if (this.#boot !== undefined && ++this.#lostBinds === maxLostBinds) {
        const where = registryAddrs.join(", ");
        throw new RegistryUnavailableError(
          `registry addresses ${where} are in use, but nothing answers there`,
        );
      }
      return;
    }
    this.#candidate.onElected(tenure);
  }

  #cannotServe(error: unknown): unknown {
    if (!(error instanceof AddressError) || systemCode(error.cause) !== "EADDRNOTAVAIL") return error;
    const where = this.#registrars.registryAddrs.join(", ");
    return new RegistryUnavailableError(
      `no registrar answers at ${where}, and this host cannot serve there: ${error.message}`,
      { cause: error },
    );
  }
}
