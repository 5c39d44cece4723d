/**
 * Serves claims at the registrar: who may start an actor of a name when several ask at once. `claims.ts` has the rules;
 * this file carries messages to them and answers back.
 */
import { isSameUser, type PeerProof } from "../channel/credentials.ts";
import { ActorNameError, FrameError, LimitError, NameTakenError, PermissionDeniedError } from "../errors.ts";
import { withoutFrames } from "../frames.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Answer, Session } from "../rpc/session.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { ClaimMode, type Kind, type MessageOf } from "../wire/messages.ts";
import { type Claim, Claims, type Decision, type NameState } from "./claims.ts";
import { encodeRegistration } from "./registration.ts";
import type { RegistryTable } from "./table.ts";

/** Who makes a claim: a connected peer, or the registrar's own actor. */
export interface Claimant {
  readonly id: ActorId;
  /** The registrar's own actor has none. */
  readonly proof?: PeerProof;
}

/** A claim, and where its answer goes: null when it holds the name, else the registrations of the name. */
export interface ClaimRequest extends Claim<Claimant> {
  readonly answer: Answer;
}

/** What the desk needs of its registrar. */
export interface DeskHost {
  readonly table: RegistryTable;
  /** Resolves when all that may still come back have come or are gone; undefined when that is so already. */
  settled(): Promise<void> | undefined;
}

function isOwn({ proof }: Claimant): boolean {
  return proof === undefined || isSameUser(proof);
}

/** The longest key in a message. */
const maxKeyChars = 64;

export class ClaimDesk {
  readonly #host: DeskHost;
  readonly #maxNames: number;
  readonly #claims: Claims<Claimant, ClaimRequest>;

  /** `maxNames` bounds what one actor may hold and wait for. */
  constructor(host: DeskHost, maxNames: number) {
    this.#host = host;
    this.#maxNames = maxNames;
    this.#claims = new Claims(maxNames);
    void host.settled()?.then(() => {
      for (const name of this.#claims.awaited) this.onChange(name);
    });
  }

  /** Handles the message of a peer. @throws {FrameError} when it is malformed */
  onClaim(session: Session, [, id, name, isUnique, key, how]: MessageOf<typeof Kind.claim>): void {
    const mode = Object.values(ClaimMode).find((known) => known === how);
    if (mode === undefined || key.length === 0 || key.length > maxKeyChars)
      throw new FrameError("malformed claim");
    const answer: Answer = {
      resolve: (value) => session.reply(id, value),
      reject: (error) => session.replyError(id, error),
    };
    const fault = actorNameFault(name);
    if (fault !== undefined) answer.reject(new ActorNameError(fault));
    else if (!session.permissions.mayRegister(name, []))
      answer.reject(
        new PermissionDeniedError(`this registrar's policy doesn't let the peer claim "${name}"`),
      );
    else {
      const { peer } = session;
      this.claim({ member: peer, name, key, isUnique, mode, isOwn: isOwn(peer), answer });
    }
  }

  /** Answers a claim: at once, or when the name is free or registered. */
  claim(claim: ClaimRequest): void {
    const { name, isUnique, mode } = claim;
    if (mode === ClaimMode.ask) {
      const refusal = this.refusalOf(name, isOwn(claim.member));
      if (refusal === undefined) claim.answer.resolve(null);
      else claim.answer.reject(refusal);
    } else if (this.#claims.isFull(claim.member)) {
      const text = `one actor may hold or wait for at most ${this.#maxNames} names (maxCachedNames)`;
      claim.answer.reject(new LimitError(text));
    } else if (isUnique && mode === ClaimMode.take && this.#isTaken(name)) {
      // the end of a dead holder's connection may be the next thing to be read: refuse only after that
      this.#claims.wait(claim);
      setImmediate(() => this.onChange(name));
    } else this.#answer(this.#claims.ask(claim, this.#state(name)));
  }

  /** Gives back what was claimed with this key. */
  withdraw(member: Claimant, name: string, key: string): void {
    this.#claims.withdraw(member, name, key);
    this.onChange(name);
  }

  /** Ends all claims of a peer that is gone. */
  leave(member: Claimant): void {
    for (const name of this.#claims.leave(member)) this.onChange(name);
  }

  /** Decides on those that wait for a name, after a change of its registrations or its hold. */
  onChange(name: string): void {
    this.#answer(this.#claims.settle(name, this.#state(name)));
  }

  /**
   * Why this actor may not register under its name: that is unique, and held by others. Peers that aren't of this user can't
   * keep a name from those that are.
   */
  refusal(member: Claimant): NameTakenError | undefined {
    const { name } = member.id;
    if (this.#claims.hold(name)?.members.has(member)) return undefined;
    return this.refusalOf(name, isOwn(member));
  }

  /** Why no further actor may register under the name. `isOwn`: whether it would be of this user. */
  refusalOf(name: string, isOwnActor: boolean): NameTakenError | undefined {
    const hold = this.#claims.hold(name);
    if (!hold?.isUnique) return undefined;
    return hold.isOwn || !isOwnActor ? this.#taken(name) : undefined;
  }

  /** Refuses all that wait: this actor has stopped being the registrar. */
  stop(reason: Error): void {
    for (const { answer } of this.#claims.dismiss()) answer.reject(reason);
  }

  #state(name: string): NameState {
    const { table } = this.#host;
    const isReady = table.last(name) !== undefined;
    const registered = isReady ? "ready" : table.draining(name).length > 0 ? "draining" : "none";
    return { registered, isSettled: this.#host.settled() === undefined };
  }

  #isTaken(name: string): boolean {
    return this.#claims.hold(name) !== undefined || this.#state(name).registered !== "none";
  }

  #answer(decisions: readonly Decision<ClaimRequest>[]): void {
    for (const { claim, verdict } of decisions) {
      const { name, answer } = claim;
      if (verdict === "granted" || verdict === "joined") answer.resolve(null);
      else if (verdict === "registered") answer.resolve(this.#host.table.all(name).map(encodeRegistration));
      else if (verdict === "taken") answer.reject(this.#taken(name));
      else answer.reject(new PermissionDeniedError(`the claim of the name "${name}" has lapsed`));
    }
  }

  /** The error for a name that is held or registered. */
  #taken(name: string): NameTakenError {
    const { table } = this.#host;
    const [holder] = this.#claims.hold(name)?.members ?? [];
    const id = (table.last(name) ?? table.draining(name)[0])?.id ?? holder?.id;
    if (id === undefined) throw new Error(`nobody has the name "${name}"`);
    const text = `the name "${name}" is taken by ${describeActor(id)} (pid ${id.pid})`;
    return withoutFrames(() => new NameTakenError(text, id));
  }
}
