/**
 * The names that are held on this host, as claims in the store that all hosts share. The store gives each name to one host.
 *
 * A claim is kept under the host's lease. When that is lost and another is opened, all that is held is claimed again; if
 * another host has a name by then, the hold here is over. While a lease is being opened, claims wait for it.
 */
import { asError, RegistryUnavailableError, StoreUnavailableError } from "../errors.ts";
import { logger } from "../log.ts";
import { retryPause } from "./retry.ts";
import type { Claim, Holder, HostLease } from "./store.ts";

const log = logger("discovery");

/** How long to leave a store alone that has failed. With jitter. */
const retryMs = 200;

/** A name that another host has, as far as is known. */
export interface Elsewhere {
  readonly host: string;
  /** Whether no other actor may register under it. */
  readonly isUnique: boolean;
}

/** What the claims need of the cluster. */
export interface ClaimsHost {
  readonly host: string;
  /** Who holds a name on another host, by what has been read from the store. */
  holder(name: string): Holder | undefined;
}

/** A name that is held here, or asked for. */
interface Held {
  readonly key: string;
  /** Of its claim. */
  readonly id: string;
  /** Whether somebody asks the store for it, and whether that has to be done once more then. */
  isAsked: boolean;
  isDue: boolean;
}

export class ClusterClaims {
  /** Called when the store has confirmed a hold, perhaps with another number than before. */
  onFence: ((name: string, key: string, fence: number) => void) | undefined;
  /** Called when another host has got a name that is held here. */
  onLost: ((name: string, key: string) => void) | undefined;
  readonly #host: ClaimsHost;
  readonly #signal: AbortSignal;
  #lease: HostLease | undefined;
  /** Those who wait for a lease. */
  #opening: PromiseWithResolvers<HostLease> | undefined;
  /** Why there is no lease. */
  #trouble: string | undefined;
  readonly #held = new Map<string, Held>();
  /** The names that are held, and for which this lease has no answer yet. */
  #unconfirmed = new Set<string>();
  #confirmed: PromiseWithResolvers<void> | undefined;
  /** The ids of claims that are over, and may still be in the store. */
  readonly #former = new Map<string, Set<string>>();
  /** The last step of each name that has one under way. */
  readonly #steps = new Map<string, Promise<unknown>>();

  constructor(host: ClaimsHost, signal: AbortSignal) {
    this.#host = host;
    this.#signal = signal;
  }

  /** The other host that has the name. */
  elsewhere(name: string): Elsewhere | undefined {
    const holder = this.#host.holder(name);
    return holder && { host: holder.host, isUnique: isUnique(holder) };
  }

  /** Claims under this lease from now on, and what is held already. Undefined: there is none, until one is opened. */
  use(lease: HostLease | undefined): void {
    this.#lease = lease;
    this.#trouble = undefined;
    // what was claimed under another lease is gone with that
    this.#former.clear();
    this.#unconfirmed = new Set(this.#held.keys());
    // those who wait for that look again
    this.#confirmed?.resolve();
    this.#confirmed = undefined;
    if (lease === undefined) return;
    this.#opening?.resolve(lease);
    this.#opening = undefined;
    for (const name of this.#held.keys()) this.recheck(name);
  }

  /** No lease can be opened, for now: claims are refused for this reason. */
  refuse(trouble: string): void {
    this.#trouble = trouble;
    this.#opening?.reject(new StoreUnavailableError(trouble));
    this.#opening = undefined;
  }

  /** Resolves when the store has answered for all that is held, or the lease isn't in use any more; undefined if that is so. */
  get confirmed(): Promise<void> | undefined {
    return this.#unconfirmed.size === 0 ? undefined : (this.#confirmed ??= Promise.withResolvers()).promise;
  }

  /**
   * Asks the store for a name. Resolves to the number of the hold, or to who has the name.
   *
   * @throws {RegistryUnavailableError} when the store can't be reached; the name isn't held then
   */
  async take(name: string, key: string, unique: boolean): Promise<number | Elsewhere> {
    const held = this.#hold(name, key, unique);
    held.isAsked = true;
    try {
      const claim = await this.#step(name, () => this.#claimAnew(name, held));
      if (claim.type === "granted") return claim.fence;
      this.#forget(name, held);
      return { host: claim.host, isUnique: isUnique(claim) };
    } catch (error) {
      // it may have been granted, and the answer lost
      this.give(name, key);
      const text = `cannot promise that "${name}" runs only once among all hosts: ${asError(error).message}`;
      throw new RegistryUnavailableError(text, { cause: error });
    } finally {
      held.isAsked = false;
      if (held.isDue) this.recheck(name);
    }
  }

  /** Claims a name that has been held before, in the background. */
  resume(name: string, key: string, unique: boolean): void {
    this.#hold(name, key, unique);
    this.#unconfirmed.add(name);
    this.recheck(name);
  }

  /** Claims again what is held here: the store may have lost that, or have given it to another host. */
  recheck(name: string): void {
    const held = this.#held.get(name);
    if (held === undefined || this.#lease === undefined) return;
    if (held.isAsked) held.isDue = true;
    else void this.#keep(name, held);
  }

  /** Gives a name back, in the background. */
  give(name: string, key: string): void {
    const held = this.#held.get(name);
    if (held?.key !== key) return;
    this.#forget(name, held);
    let former = this.#former.get(name);
    if (former === undefined) this.#former.set(name, (former = new Set()));
    former.add(held.id);
    void this.#cleanse(name);
  }

  #hold(name: string, key: string, unique: boolean): Held {
    const held = { key, id: idOf(key, unique), isAsked: false, isDue: false };
    this.#held.set(name, held);
    return held;
  }

  async #keep(name: string, held: Held): Promise<void> {
    held.isAsked = true;
    do {
      held.isDue = false;
      await this.#ask(name, held);
    } while (held.isDue && this.#isHeld(name, held));
    held.isAsked = false;
  }

  /** Until the store has confirmed or refused it, or it isn't held any more. */
  async #ask(name: string, held: Held): Promise<void> {
    const lease = this.#lease;
    const isWanted = (): boolean => lease === this.#lease && this.#isHeld(name, held);
    while (lease !== undefined && isWanted()) {
      try {
        const claim = await this.#step(name, () => this.#claim(name, held));
        if (!isWanted()) return;
        this.#confirm(name);
        if (claim.type === "granted") return this.onFence?.(name, held.key, claim.fence);
        // one that this host's last registrar has left goes when this one has settled
        if (claim.host === this.#host.host) await retryPause(retryMs, this.#signal);
        else {
          this.#forget(name, held);
          return this.onLost?.(name, held.key);
        }
      } catch (error) {
        if (!isWanted()) return;
        log.info?.(`cannot claim "${name}" again: ${asError(error).message}`);
        await retryPause(retryMs, this.#signal);
      }
    }
  }

  /** Until the store has no claims of the name that are over. */
  async #cleanse(name: string): Promise<void> {
    const lease = this.#lease;
    while (lease !== undefined && lease === this.#lease && this.#former.has(name)) {
      try {
        await this.#step(name, () => this.#clear(name));
      } catch (error) {
        if (this.#signal.aborted) return;
        log.info?.(`cannot give "${name}" back: ${asError(error).message}`);
        await retryPause(retryMs, this.#signal);
      }
    }
  }

  async #clear(name: string): Promise<void> {
    const lease = this.#lease;
    for (const id of this.#former.get(name) ?? []) {
      // claimed again meanwhile, under the same id
      if (this.#held.get(name)?.id !== id) await lease?.unclaim(name, id, { signal: this.#signal });
      const left = this.#former.get(name);
      left?.delete(id);
      if (left?.size === 0) this.#former.delete(name);
    }
  }

  /** @throws {StoreUnavailableError} also when it was given back before it was its turn */
  async #claim(name: string, held: Held): Promise<Claim | Holder> {
    await this.#clear(name);
    const lease = await this.#leased();
    if (!this.#isHeld(name, held)) throw new StoreUnavailableError(`"${name}" was given back`);
    return await lease.claim(name, held.id, { signal: this.#signal });
  }

  /** For one who hasn't held it before: others of this host would be back by now, so what they have left is in its way. */
  async #claimAnew(name: string, held: Held): Promise<Claim | Holder> {
    const claim = await this.#claim(name, held);
    if (claim.type === "granted" || claim.host !== this.#host.host) return claim;
    const lease = await this.#leased();
    await lease.unclaim(name, claim.uuid, { signal: this.#signal });
    return await this.#claim(name, held);
  }

  /** @throws {StoreUnavailableError} when none can be opened */
  async #leased(): Promise<HostLease> {
    if (this.#lease !== undefined) return this.#lease;
    if (this.#trouble !== undefined) throw new StoreUnavailableError(this.#trouble);
    return await (this.#opening ??= Promise.withResolvers()).promise;
  }

  #isHeld(name: string, held: Held): boolean {
    return this.#held.get(name) === held;
  }

  #confirm(name: string): void {
    this.#unconfirmed.delete(name);
    if (this.#unconfirmed.size > 0) return;
    this.#confirmed?.resolve();
    this.#confirmed = undefined;
  }

  #forget(name: string, held: Held): void {
    if (!this.#isHeld(name, held)) return;
    this.#held.delete(name);
    this.#confirm(name);
  }

  /** One after the other for each name. */
  async #step<T>(name: string, work: () => Promise<T>): Promise<T> {
    const last = this.#steps.get(name) ?? Promise.resolve();
    const step = last.then(work, work);
    this.#steps.set(name, step);
    try {
      return await step;
    } finally {
      if (this.#steps.get(name) === step) this.#steps.delete(name);
    }
  }
}

/** The id of a claim in the store: its key is a secret of those who hold the name. The last letter says how it is held. */
function idOf(key: string, unique: boolean): string {
  const hash = new Bun.CryptoHasher("sha256").update(key).digest("base64url").slice(0, 32);
  return `${hash}${unique ? "u" : "s"}`;
}

function isUnique({ uuid }: Holder): boolean {
  return uuid.endsWith("u");
}
