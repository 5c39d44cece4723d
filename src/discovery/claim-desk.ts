/**
 * Serves claims at the registrar: who may start an actor of a name when several ask at once. `claims.ts` has the rules;
 * this file carries messages to them and answers back.
 */
import { isSameUser, type PeerProof } from "../channel/credentials.ts";
import {
  ActorNameError,
  asError,
  FrameError,
  LimitError,
  NameTakenError,
  PermissionDeniedError,
  TransportClosedError,
} from "../errors.ts";
import { withoutFrames } from "../frames.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Peer } from "../channel/peer.ts";
import type { Answer, Session } from "../rpc/session.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { ClaimMode, Kind, type MessageOf } from "../wire/messages.ts";
import { type Claim, Claims, type Decision, type Hold, type NameState } from "./claims.ts";
import type { ClusterClaims, Elsewhere } from "./cluster-claims.ts";
import { logger } from "../log.ts";
import { encodeRegistration } from "./registration.ts";
import type { RegistryTable } from "./table.ts";

/** Who makes a claim: a connected peer, or the registrar's own actor. */
export interface Claimant {
  readonly id: ActorId;
  /** The registrar's own actor has none. */
  readonly proof?: PeerProof;
  /** Where a peer hears of the number of its hold, and is cut off when that is lost. */
  readonly channel?: Peer<Session>["channel"];
}

/** A claim, and where its answer goes: null when it holds the name, else the registrations of the name. */
export interface ClaimRequest extends Claim<Claimant> {
  readonly answer: Answer;
  /** Whether the hold will be unique once the actor has joined it. */
  readonly startsUnique?: boolean;
}

/** What the desk needs of its registrar. */
export interface DeskHost {
  readonly table: RegistryTable;
  /** Resolves when all that may still come back have come or are gone; undefined when that is so already. */
  settled(): Promise<void> | undefined;
}

const log = logger("discovery");

function isOwn({ proof }: Claimant): boolean {
  return proof === undefined || isSameUser(proof);
}

/** The longest key in a message. */
const maxKeyChars = 64;
/** How long to wait before the store is asked again for a name that another host has, unless that shows before. */
const elsewhereMs = 500;

/** How many instances of a name that is registered already a claim is answered with: there may be very many. */
const mostShown = 64;

export class ClaimDesk {
  readonly #host: DeskHost;
  readonly #maxNames: number;
  readonly #claims: Claims<Claimant, ClaimRequest>;
  /** Names that the store has refused, when the mirror doesn't say so yet. */
  readonly #refused = new Map<string, { readonly by: Elsewhere; readonly timer: Timer }>();
  /** Undefined where there are no other hosts. */
  #cluster: ClusterClaims | undefined;
  #stopped: Error | undefined;

  /** `maxNames` bounds what one actor may hold and wait for. */
  constructor(host: DeskHost, maxNames: number) {
    this.#host = host;
    this.#maxNames = maxNames;
    this.#claims = new Claims(maxNames, ({ name, key }) => this.#cluster?.give(name, key));
    void host.settled()?.then(() => {
      for (const name of this.#claims.awaited) this.onChange(name);
    });
  }

  /** Handles the message of a peer. @throws {FrameError} when it is malformed */
  onClaim(session: Session, [, id, name, isUnique, key, how, later]: MessageOf<typeof Kind.claim>): void {
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
      const { peer: member } = session;
      const startsUnique = isUnique || later === true;
      this.claim({ member, name, key, isUnique, mode, isOwn: isOwn(member), answer, startsUnique });
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
    if (hold === undefined) return this.#elsewhere(name)?.isUnique ? this.#taken(name) : undefined;
    if (!hold.isUnique) return undefined;
    return hold.isOwn || !isOwnActor ? this.#taken(name) : undefined;
  }

  /** Refuses all that wait: this actor has stopped being the registrar. */
  stop(reason: Error): void {
    this.#stopped = reason;
    for (const { timer } of this.#refused.values()) clearTimeout(timer);
    this.#refused.clear();
    for (const { answer } of this.#claims.dismiss()) answer.reject(reason);
  }

  #state(name: string): NameState {
    const { table } = this.#host;
    const isReady = table.last(name) !== undefined;
    const registered = isReady ? "ready" : table.draining(name).length > 0 ? "draining" : "none";
    const isElsewhere = this.#elsewhere(name) !== undefined;
    return { registered, isSettled: this.#host.settled() === undefined, isElsewhere };
  }

  #isTaken(name: string): boolean {
    const { registered, isElsewhere } = this.#state(name);
    return this.#claims.hold(name) !== undefined || registered !== "none" || isElsewhere;
  }

  #elsewhere(name: string): Elsewhere | undefined {
    return this.#cluster?.elsewhere(name) ?? this.#refused.get(name)?.by;
  }

  #answer(decisions: readonly Decision<ClaimRequest>[]): void {
    for (const { claim, verdict } of decisions) {
      const { name, answer } = claim;
      if (verdict === "granted") this.#grant(claim);
      else if (verdict === "joined") {
        this.#tellFence(claim.member, this.#claims.hold(name));
        answer.resolve(null);
      } else if (verdict === "registered") answer.resolve(this.#lastOf(name));
      else if (verdict === "taken") answer.reject(this.#taken(name));
      else answer.reject(new PermissionDeniedError(`the claim of the name "${name}" has lapsed`));
    }
  }

  /** Whoever gets them takes the last that can be reached; if there is none, the claim is made again. */
  #lastOf(name: string): unknown[] {
    return this.#host.table.all(name).slice(-mostShown).map(encodeRegistration);
  }

  /** In a cluster, the store has the last word. Those who come back with a hold go on with it, whatever the store says later. */
  #grant(claim: ClaimRequest): void {
    const { name, key, isUnique, startsUnique, mode, isOwn: isOfUser, answer } = claim;
    const cluster = this.#cluster;
    // a claim of another owner concerns no one of this user, here or on another host
    if (cluster === undefined || !isOfUser) answer.resolve(null);
    else if (mode === ClaimMode.resume) {
      cluster.resume(name, key, isUnique);
      answer.resolve(null);
    } else
      void this.#confirm(claim, this.#claims.hold(name)!, cluster.take(name, key, startsUnique === true));
  }

  async #confirm(
    claim: ClaimRequest,
    hold: Hold<Claimant>,
    asked: Promise<number | Elsewhere>,
  ): Promise<void> {
    const { name, isUnique, answer } = claim;
    let taken: number | Elsewhere;
    try {
      taken = await asked;
    } catch (error) {
      this.#claims.revoke(hold);
      answer.reject(this.#stopped ?? asError(error));
      this.onChange(name);
      return;
    }
    if (this.#stopped !== undefined) return answer.reject(this.#stopped);
    // given up meanwhile, and so given back
    if (this.#claims.hold(name) !== hold) return;
    if (typeof taken === "number") {
      hold.fence = taken;
      return answer.resolve(null);
    }
    this.#claims.revoke(hold);
    this.#refuse(name, taken);
    if (isUnique) answer.reject(this.#taken(name));
    else this.#claims.wait(claim);
    this.onChange(name);
  }

  /** The store has just refused the name. It is asked again, unless the mirror shows that before, and then who has it. */
  #refuse(name: string, by: Elsewhere): void {
    clearTimeout(this.#refused.get(name)?.timer);
    const timer = setTimeout(() => {
      this.#refused.delete(name);
      this.onChange(name);
    }, elsewhereMs);
    timer.unref();
    this.#refused.set(name, { by, timer });
  }

  /** Shares the names with other hosts from now on. */
  share(cluster: ClusterClaims): void {
    this.#cluster = cluster;
    cluster.onFence = (name, key, fence) => {
      const hold = this.#claims.hold(name);
      if (hold?.key !== key) return;
      hold.fence = fence;
      for (const member of hold.members) this.#tellFence(member, hold);
    };
    cluster.onLost = (name, key) => {
      const hold = this.#claims.hold(name);
      if (hold?.key === key) this.#lose(hold);
    };
    for (const { name, key, isUnique, isOwn: isOfUser } of this.#claims.holds)
      if (isOfUser) cluster.resume(name, key, isUnique);
  }

  /** Another host has claimed a name, or given it back. */
  onElsewhere(name: string): void {
    const refused = this.#refused.get(name);
    if (refused !== undefined && this.#cluster?.elsewhere(name) !== undefined) {
      clearTimeout(refused.timer);
      this.#refused.delete(name);
    }
    this.onChange(name);
  }

  /** Another host has got the name. The actor that has it here comes back, is refused, and ends. */
  #lose(hold: Hold<Claimant>): void {
    const { name, members } = hold;
    log.warn?.(`the name "${name}" belongs to another host now: its actor here ends`);
    this.#claims.revoke(hold);
    for (const { id, channel } of members) if (id.name === name) channel?.abort(lostTo(name));
    this.onChange(name);
  }

  #tellFence({ channel }: Claimant, hold: Hold<Claimant> | undefined): void {
    if (hold?.fence !== undefined) channel?.post([Kind.fence, hold.name, hold.fence]);
  }

  /** The error for a name that is held or registered. */
  #taken(name: string): NameTakenError {
    const { table } = this.#host;
    const [holder] = this.#claims.hold(name)?.members ?? [];
    const id = (table.last(name) ?? table.draining(name)[0])?.id ?? holder?.id;
    const elsewhere = id === undefined ? this.#elsewhere(name) : undefined;
    if (elsewhere !== undefined) return takenOn(elsewhere.host, name);
    if (id === undefined) throw new Error(`nobody has the name "${name}"`);
    const text = `the name "${name}" is taken by ${describeActor(id)} (pid ${id.pid})`;
    return withoutFrames(() => new NameTakenError(text, id));
  }
}

/** The error for a name whose actor on another host isn't registered yet. */
function takenOn(host: string, name: string): NameTakenError {
  const text = `the name "${name}" is taken by an actor that host ${host} is starting`;
  return withoutFrames(() => new NameTakenError(text, { name, uuid: "", pid: 0, host }));
}

function lostTo(name: string): TransportClosedError {
  return new TransportClosedError(
    `another host has the name "${name}" now: this registrar cut its actor off`,
  );
}
