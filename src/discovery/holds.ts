/**
 * The names that this process holds: those of actors that it starts, and in a started actor its own. They are held at the
 * registrar that serves the first registry address, for as long as the connection to it lasts, and taken along to the next.
 */
import { Deadline, sleep } from "../deadline.ts";
import { RegistryUnavailableError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import { ClaimMode, Kind } from "../wire/messages.ts";
import { known } from "./known.ts";
import type { RegistrarService } from "./registrar.ts";
import { nameTaken, type RegistrarLink, registryPatienceMs } from "./registrar-link.ts";
import type { HeldNames, Registrars } from "./registrars.ts";
import { decodeRegistrations, type Found } from "./registration.ts";

const log = logger("discovery");

/** What a child needs to belong to the hold of its name. */
export interface HoldForm {
  readonly key: string;
  /** Whether no other actor may register under the name. */
  readonly isUnique: boolean;
}

/** How often an actor that is being started asks again when no one holds its name, and how long it waits before that. */
const maxLapses = 10;
const lapseMs = 50;

/** Where names are held: at another process, or in this one while it is the registrar. */
type Desk = RegistrarLink | RegistrarService;

/** A name that this process holds until all its users have given it back. */
export class HeldName {
  readonly name: string;
  readonly form: HoldForm;
  /** Where it was last claimed. */
  desk: Desk;
  readonly #onUnused: (held: HeldName) => void;
  #users = 0;

  constructor(name: string, form: HoldForm, desk: Desk, onUnused: (held: HeldName) => void) {
    this.name = name;
    this.form = form;
    this.desk = desk;
    this.#onUnused = onUnused;
  }

  /** Keeps the name until the returned function is called. */
  use(): () => void {
    this.#users++;
    let isUsed = true;
    return () => {
      if (!isUsed) return;
      isUsed = false;
      if (--this.#users === 0) this.#onUnused(this);
    };
  }
}

export class Holds implements HeldNames {
  readonly #registrars: Registrars;
  readonly #held = new Set<HeldName>();
  #own: HeldName | undefined;

  private constructor(registrars: Registrars) {
    this.#registrars = registrars;
  }

  static of(registrars: Registrars): Holds {
    // no one else sets it
    return (registrars.holds ??= new Holds(registrars)) as Holds;
  }

  get hasOwn(): boolean {
    return this.#own !== undefined;
  }

  /**
   * Takes a name that no one has, so that no one else gets it.
   *
   * @throws {NameTakenError} when it is held or registered
   * @throws {RegistryUnavailableError | TimeoutError} when there is no registrar, or it is silent
   */
  async take(name: string, deadline: Deadline): Promise<HeldName> {
    const form = { key: crypto.randomUUID(), isUnique: true };
    return (await this.#claim(name, form, true, deadline)) as HeldName;
  }

  /**
   * Takes a name, or resolves to its registrations. While others hold it, it waits in line. `isUnique` concerns the actor
   * that will be started.
   *
   * @throws {RegistryUnavailableError | TimeoutError} when there is no registrar, or it is silent
   */
  async takeOrFind(name: string, isUnique: boolean, deadline: Deadline): Promise<HeldName | Found> {
    return await this.#claim(name, { key: crypto.randomUUID(), isUnique }, false, deadline);
  }

  async #claim(name: string, form: HoldForm, isNow: boolean, deadline: Deadline): Promise<HeldName | Found> {
    for (;;) {
      const held = new HeldName(name, form, await this.#desk(deadline), this.#giveBack);
      try {
        const found = await deadline.race("wait", this.#ask(held, ClaimMode.take, isNow));
        if (found !== undefined) return found;
        this.#held.add(held);
        return held;
      } catch (error) {
        // no longer in line; and if the name was given just now, that is void
        this.#giveBack(held);
        if (!isOver(held.desk, error)) throw nameTaken(error) ?? error;
        deadline.check("wait");
      }
    }
  }

  /**
   * Joins the hold under which this actor is being started.
   *
   * @throws {NameTakenError | PermissionDeniedError} when it is over: the process that started this one is gone, say
   */
  async join(name: string, form: HoldForm): Promise<void> {
    // how long it may take is its parent's business
    const deadline = new Deadline({}, "start of", name);
    for (let lapses = 0; ;) {
      const held = new HeldName(name, form, await this.#desk(deadline), this.#giveBack);
      try {
        await this.#ask(held, ClaimMode.join);
        this.#held.add(held);
        this.#own = held;
        return;
      } catch (error) {
        if (isOver(held.desk, error)) continue;
        const taken = nameTaken(error);
        if (taken !== undefined || lapses++ === maxLapses) throw taken ?? error;
        // its parent may have lost the connection to the registrar, and be back in a moment
        await sleep(lapseMs);
      }
    }
  }

  async resume(link: RegistrarLink): Promise<void> {
    if (link !== this.#registrars.firstLink) return;
    const returning = Array.from(this.#held).filter(({ desk }) => desk !== link);
    await Promise.all(returning.map((held) => this.#resumeAt(link, held)));
  }

  resumeHere(service: RegistrarService): void {
    for (const held of this.#held) void this.#resumeAt(service, held);
  }

  async #resumeAt(desk: Desk, held: HeldName): Promise<void> {
    const former = held.desk;
    held.desk = desk;
    try {
      await this.#ask(held, ClaimMode.resume);
    } catch (error) {
      if (isOver(desk, error)) return;
      if (held === this.#own) {
        // to be tried again: without it this actor must not register
        held.desk = former;
        throw error;
      }
      log.warn?.(`lost the hold on "${held.name}": ${(nameTaken(error) ?? (error as Error)).message}`);
    }
  }

  /** Where to claim: the registrar at the first registry address, waiting for it while there is none. */
  async #desk(deadline: Deadline): Promise<Desk> {
    const { runtime } = this.#registrars;
    const patienceMs = Math.max(registryPatienceMs(runtime.limits), runtime.peers.leastStepMs);
    const timeout = Math.min(deadline.remainingMs, patienceMs);
    const patience = new Deadline({ timeout, signal: deadline.signal }, "claim");
    for (;;) {
      const { service, firstLink, changed } = this.#registrars;
      if (service !== undefined) return service;
      if (firstLink?.isOpen) return firstLink;
      try {
        await patience.race("lookup", changed);
      } catch (error) {
        if (error instanceof TimeoutError) throw this.#registrars.unavailable();
        throw error;
      }
    }
  }

  /** Resolves to undefined when the name is held, else to its registrations. */
  async #ask(
    { name, form, desk }: HeldName,
    mode: ClaimMode,
    isUnique: boolean = form.isUnique,
  ): Promise<Found | undefined> {
    const { key } = form;
    const { runtime } = this.#registrars;
    if ("claims" in desk) {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      desk.claims.claim({
        member: runtime,
        name,
        key,
        isUnique,
        mode,
        isOwn: true,
        answer: { resolve, reject },
      });
      return (await promise) === null ? undefined : (known(this.#registrars, name) ?? []);
    }
    const asked = desk.session.request([Kind.claim, 0, name, isUnique, key, mode]);
    const answer = await whileAlive(desk, name, runtime.limits, asked);
    return answer === null ? undefined : decodeRegistrations(name, answer);
  }

  readonly #giveBack = (held: HeldName): void => {
    this.#held.delete(held);
    const { desk, name, form } = held;
    if ("claims" in desk) desk.claims.withdraw(this.#registrars.runtime, name, form.key);
    else if (desk.isOpen) desk.session.peer.channel.post([Kind.unclaim, name, form.key]);
  };
}

/** Whether a claim failed because its registrar is no longer there, or no longer one: the next one is asked. */
function isOver(desk: Desk, error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  const isRetired = error instanceof RegistryUnavailableError || cause instanceof RegistryUnavailableError;
  return isRetired || ("isOpen" in desk && !desk.isOpen && !(error instanceof TimeoutError));
}

/**
 * Settles as `answer`, which may take as long as another process needs to start an actor, provided that the registrar
 * answers a lookup meanwhile.
 *
 * @throws {TimeoutError} with stage "lookup" when it doesn't
 */
async function whileAlive<T>(
  link: RegistrarLink,
  name: string,
  limits: Limits,
  answer: Promise<T>,
): Promise<T> {
  const silence = Promise.withResolvers<never>();
  let isOver = false;
  const startTimer = (ms: number, onTimeout: () => void): void => {
    timer = setTimeout(onTimeout, ms);
    timer.unref();
  };
  const onSilence = (): void => {
    const registrar = describeActor(link.session.peer.id);
    const text = `${registrar}, the registrar, was silent while "${name}" was claimed`;
    silence.reject(new TimeoutError("lookup", text));
  };
  const onSign = (): void => {
    clearTimeout(timer);
    if (!isOver) startTimer(limits.probeTimeoutMs, ask);
  };
  const ask = (): void => {
    startTimer(registryPatienceMs(limits), onSilence);
    link.session.request([Kind.lookup, 0, name, false]).then(onSign, onSign);
  };
  let timer: Timer | undefined;
  startTimer(limits.probeTimeoutMs, ask);
  try {
    return await Promise.race([answer, silence.promise]);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}
