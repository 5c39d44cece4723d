/**
 * The claims of one host, under its lease: who holds a name.
 *
 * They don't wait for each other, as the host's writes do, but name a round, `x/<host>`. After one that may still arrive, since
 * its answer was lost or it was repeated, a new round begins before the next, and what is of the old one isn't done any more.
 */
import type { Claim, Holder, StoreOptions } from "../discovery/store.ts";
import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Keys } from "./keys.ts";
import type { Condition, KeyValue, Operation, TransactionAnswer } from "./messages.ts";
import { decodeHolder, encodeHolder } from "./records.ts";

const log = logger("discovery");
const encoder = new TextEncoder();

/** What the claims need of their lease. */
export interface ClaimsLease {
  readonly id: number;
  readonly host: string;
  /** That the lease is still the host's. */
  readonly isOurs: Condition;
  /** `onRepeat` is called before the transaction is sent again. */
  transact(
    conditions: readonly Condition[],
    then: readonly Operation[],
    otherwise: readonly Operation[],
    options: StoreOptions,
    onRepeat?: () => void,
  ): Promise<TransactionAnswer>;
  /** `pair`: the host's last write, as it was found. @throws {StoreUnavailableError} if it isn't this lease's */
  checkOurs(pair: KeyValue | undefined): void;
  /** The lease is lost; the error says so. */
  gone(): Error;
}

/** What became of a transaction about a name: the key as it was found, or as it is now. */
interface Outcome {
  readonly succeeded: boolean;
  readonly pair: KeyValue | undefined;
  readonly revision: number;
}

export class HostClaims {
  readonly #lease: ClaimsLease;
  readonly #keys: Keys;
  #round = 0;
  /** A request of this round may still arrive. */
  #isDoubtful = false;
  #next: Promise<void> | undefined;

  constructor(lease: ClaimsLease, keys: Keys) {
    this.#lease = lease;
    this.#keys = keys;
  }

  /** As `HostLease.claim`. */
  async claim(name: string, uuid: string, options: StoreOptions): Promise<Claim | Holder> {
    const { id, host } = this.#lease;
    const key = this.#keys.claim(name);
    const put = { put: key, value: encodeHolder(uuid, host), lease: id };
    let condition: Condition = { key, is: "created", value: 0 };
    for (;;) {
      const { succeeded, pair, revision } = await this.#inRound(key, condition, put, options);
      if (succeeded) return { type: "granted", fence: pair?.created ?? revision };
      if (pair === undefined) {
        // given back meanwhile
        condition = { key, is: "created", value: 0 };
        continue;
      }
      const holder = readHolder(pair, id);
      if (holder !== undefined && holder.uuid !== uuid) return holder;
      if (holder !== undefined && pair.lease === id) return { type: "granted", fence: holder.fence };
      // ours under an earlier lease, or garbage
      condition = { key, is: "changed", value: pair.changed };
    }
  }

  /** As `HostLease.unclaim`. */
  async unclaim(name: string, uuid: string, options: StoreOptions): Promise<void> {
    const key = this.#keys.claim(name);
    const value = encodeHolder(uuid, this.#lease.host);
    await this.#inRound(key, { key, is: "value", value }, { remove: key }, options);
  }

  /** Does something to a key under a condition, unless another round has begun before it arrives. */
  async #inRound(
    key: Uint8Array,
    condition: Condition,
    operation: Operation,
    options: StoreOptions,
  ): Promise<Outcome> {
    const { host, isOurs } = this.#lease;
    const reads = [key, this.#keys.lastWrite(host), this.#keys.claimRound(host)].map((read) => ({ read }));
    for (;;) {
      if (this.#isDoubtful) await (this.#next ??= this.#begin().finally(() => (this.#next = undefined)));
      const round = this.#round;
      const doubt = (): void => {
        if (round === this.#round) this.#isDoubtful = true;
      };
      const conditions = [condition, isOurs, this.#isThisRound];
      let answer: TransactionAnswer;
      try {
        answer = await this.#lease.transact(conditions, [operation, { read: key }], reads, options, doubt);
      } catch (error) {
        doubt();
        throw error;
      }
      const { succeeded, header, found } = answer;
      const [pair, lastWrite, current] = found;
      const outcome = { succeeded, pair, revision: header.revision };
      if (succeeded) return outcome;
      this.#lease.checkOurs(lastWrite);
      if (textOf(current) === String(round)) return outcome;
      // else another round has begun meanwhile: one that is just beginning here, or one that isn't of this registrar
      const isBeginning = this.#isDoubtful && textOf(current) === String(round + 1);
      if (round === this.#round && !isBeginning) throw this.#lease.gone();
    }
  }

  async #begin(): Promise<void> {
    const { id, host, isOurs } = this.#lease;
    const key = this.#keys.claimRound(host);
    const next = String(this.#round + 1);
    const { succeeded, found } = await this.#lease.transact(
      [isOurs, this.#isThisRound],
      [{ put: key, value: encoder.encode(next), lease: id }],
      [{ read: this.#keys.lastWrite(host) }, { read: key }],
      {},
    );
    if (!succeeded) {
      const [lastWrite, current] = found;
      this.#lease.checkOurs(lastWrite);
      // else an earlier attempt has begun it
      if (textOf(current) !== next) throw this.#lease.gone();
    }
    this.#round++;
    this.#isDoubtful = false;
  }

  get #isThisRound(): Condition {
    const key = this.#keys.claimRound(this.#lease.host);
    return { key, is: "value", value: encoder.encode(String(this.#round)) };
  }
}

/** Undefined for garbage that this lease, or none, keeps. What another one keeps is of somebody whom this version can't read. */
function readHolder(pair: KeyValue, lease: number): Holder | undefined {
  try {
    return decodeHolder(pair);
  } catch (error) {
    log.warn?.(`a claim in the directory can't be read: ${asError(error).message}`);
    if (pair.lease === 0 || pair.lease === lease) return undefined;
    return { type: "held", uuid: "", host: "unknown", fence: pair.created };
  }
}

export function textOf(pair: KeyValue | undefined): string {
  return Buffer.from(pair?.value ?? []).toString();
}
