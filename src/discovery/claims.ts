/**
 * Who holds which name, and who waits for it, in order. A pure state machine: no sockets, no clock.
 *
 * A hold has a key, which its claimant makes up. Whoever shows the key belongs to the hold: the process that starts an
 * actor takes the name, and the actor joins it before it runs any code of its own. The hold is over when all of them have
 * left, so neither a slow end nor the death of one of them lets a second process in.
 */
import { ClaimMode } from "../wire/messages.ts";

/** A claim of a name. `Member` is who makes it. */
export interface Claim<Member> {
  readonly member: Member;
  readonly name: string;
  readonly key: string;
  /** Whether no actor outside the hold may register under the name. */
  readonly isUnique: boolean;
  readonly mode: ClaimMode;
  /** Whether it is of this user. Others can't keep a name from those that are. */
  readonly isOwn: boolean;
}

/** What becomes of a claim: it holds the name, alone or as a further member; or the answer is what is registered, or no. */
export type Verdict = "granted" | "joined" | "registered" | "taken" | "lapsed";

/** A claim that no longer waits. */
export interface Decision<Waiting> {
  readonly claim: Waiting;
  readonly verdict: Verdict;
}

/** What counts besides the claims. */
export interface NameState {
  /** Whether actors are registered under the name, and whether those are all about to end. */
  readonly registered: "none" | "draining" | "ready";
  /** Whether that can be relied on: actors and holds of a former registrar may still be on their way back. */
  readonly isSettled: boolean;
  /** Whether it is held on another host. */
  readonly isElsewhere: boolean;
}

/** A name that is held. */
export class Hold<Member> {
  readonly name: string;
  readonly key: string;
  isUnique: boolean;
  isOwn: boolean;
  /** In a cluster: its number among all holds of the name. Undefined while the store hasn't confirmed it. */
  fence: number | undefined;
  /** In the order of joining: who took the name comes first, while it is there. */
  readonly members: Set<Member> = new Set<Member>();

  constructor({ name, key, isUnique, isOwn }: Claim<Member>) {
    this.name = name;
    this.key = key;
    this.isUnique = isUnique;
    this.isOwn = isOwn;
  }
}

export class Claims<Member, Waiting extends Claim<Member> = Claim<Member>> {
  readonly #maxPerMember: number;
  readonly #onOver: (hold: Hold<Member>) => void;
  readonly #holds = new Map<string, Hold<Member>>();
  readonly #lines = new Map<string, Set<Waiting>>();
  /** What each member holds and waits for; a member without either has no entry. */
  readonly #of = new Map<Member, Set<Hold<Member> | Waiting>>();

  /**
   * `maxPerMember` bounds what one member may hold and wait for together, so that none can fill the memory. `onOver` is
   * called when a hold is over.
   */
  constructor(maxPerMember: number, onOver: (hold: Hold<Member>) => void = () => {}) {
    this.#maxPerMember = maxPerMember;
    this.#onOver = onOver;
  }

  /** Whether the member has reached its bound. */
  isFull(member: Member): boolean {
    return (this.#of.get(member)?.size ?? 0) >= this.#maxPerMember;
  }

  hold(name: string): Hold<Member> | undefined {
    return this.#holds.get(name);
  }

  /** The claims that wait for a name, in the order of arrival. */
  line(name: string): readonly Waiting[] {
    return Array.from(this.#lines.get(name) ?? []);
  }

  /** The names that are waited for. */
  get awaited(): readonly string[] {
    return Array.from(this.#lines.keys());
  }

  /** Withdraws and returns all claims that wait. */
  dismiss(): readonly Waiting[] {
    const waiting = this.awaited.flatMap((name) => this.line(name));
    for (const claim of waiting) this.#leaveLine(claim);
    return waiting;
  }

  /** Puts a claim at the end of its line, without a decision. */
  wait(claim: Waiting): void {
    let line = this.#lines.get(claim.name);
    if (line === undefined) this.#lines.set(claim.name, (line = new Set()));
    line.add(claim);
    this.#note(claim.member, claim);
  }

  /** Decides on a new claim, or puts it in line. */
  ask(claim: Waiting, state: NameState): Decision<Waiting>[] {
    this.wait(claim);
    const verdict = this.#decide(claim, state);
    if (verdict === undefined) return [];
    // one that takes a name back lets those in that came before it and belong to it
    return [{ claim, verdict }, ...(verdict === "granted" ? this.settle(claim.name, state) : [])];
  }

  /** Decides on all that wait for a name, in their order, after a change. */
  settle(name: string, state: NameState): Decision<Waiting>[] {
    const decisions: Decision<Waiting>[] = [];
    for (const claim of this.#lines.get(name) ?? []) {
      const verdict = this.#decide(claim, state);
      if (verdict !== undefined) decisions.push({ claim, verdict });
    }
    return decisions;
  }

  /** Withdraws what a member has under this name and key: its place in the hold, or in the line. */
  withdraw(member: Member, name: string, key: string): void {
    const hold = this.#holds.get(name);
    if (hold?.key === key && hold.members.has(member)) {
      this.#leaveHold(hold, member);
      return;
    }
    for (const claim of this.line(name))
      if (claim.member === member && claim.key === key) this.#leaveLine(claim);
  }

  /** Ends a hold: another host has the name. */
  revoke(hold: Hold<Member>): void {
    if (this.#holds.get(hold.name) !== hold) return;
    for (const member of hold.members) this.#forget(member, hold);
    this.#holds.delete(hold.name);
  }

  /** The names that are held. */
  get holds(): Iterable<Hold<Member>> {
    return this.#holds.values();
  }

  /** Withdraws all that a member has: it is gone. Returns the names. */
  leave(member: Member): Set<string> {
    const names = new Set<string>();
    for (const one of this.#of.get(member) ?? []) {
      names.add(one.name);
      if (one instanceof Hold) this.#leaveHold(one, member);
      else this.#leaveLine(one);
    }
    return names;
  }

  /** Carries out the verdict on a claim in line; undefined while it has to wait. */
  #decide(claim: Waiting, state: NameState): Verdict | undefined {
    const held = this.#holds.get(claim.name);
    const isOutranked = held !== undefined && claim.isOwn && !held.isOwn && held.key !== claim.key;
    const hold = isOutranked ? undefined : held;
    const verdict = verdictOn(claim, hold, state);
    if (verdict === undefined) return undefined;
    this.#leaveLine(claim);
    if (verdict === "granted") {
      if (held !== undefined) {
        for (const member of held.members) this.#forget(member, held);
        this.#onOver(held);
      }
      const made = new Hold(claim);
      this.#holds.set(claim.name, made);
      this.#enter(made, claim.member);
    } else if (verdict === "joined" && hold !== undefined) {
      hold.isUnique ||= claim.isUnique;
      hold.isOwn ||= claim.isOwn;
      this.#enter(hold, claim.member);
    }
    return verdict;
  }

  #enter(hold: Hold<Member>, member: Member): void {
    hold.members.add(member);
    this.#note(member, hold);
  }

  #leaveHold(hold: Hold<Member>, member: Member): void {
    hold.members.delete(member);
    this.#forget(member, hold);
    if (hold.members.size > 0) return;
    this.#holds.delete(hold.name);
    this.#onOver(hold);
  }

  #leaveLine(claim: Waiting): void {
    const line = this.#lines.get(claim.name);
    line?.delete(claim);
    if (line?.size === 0) this.#lines.delete(claim.name);
    this.#forget(claim.member, claim);
  }

  #note(member: Member, one: Hold<Member> | Waiting): void {
    let all = this.#of.get(member);
    if (all === undefined) this.#of.set(member, (all = new Set()));
    all.add(one);
  }

  #forget(member: Member, one: Hold<Member> | Waiting): void {
    const all = this.#of.get(member);
    all?.delete(one);
    if (all?.size === 0) this.#of.delete(member);
  }
}

/** The rules. Undefined: it waits. */
function verdictOn<Member>(
  { key, isUnique, mode }: Claim<Member>,
  hold: Hold<Member> | undefined,
  { registered, isSettled, isElsewhere }: NameState,
): Verdict | undefined {
  const isRegistered = registered !== "none";
  if (mode === ClaimMode.take) {
    if (isUnique && (hold !== undefined || isRegistered || isElsewhere)) return "taken";
    if (registered === "ready") return "registered";
    return hold === undefined && !isRegistered && !isElsewhere && isSettled ? "granted" : undefined;
  }
  if (hold?.key === key) {
    // the name was held for sharing until now, and another actor came
    return isUnique && !hold.isUnique && isRegistered ? "taken" : "joined";
  }
  if (hold !== undefined || isElsewhere) return "taken";
  if (mode === ClaimMode.resume) return isUnique && isRegistered && isSettled ? "taken" : "granted";
  if (!isSettled) return undefined;
  return isRegistered ? "taken" : "lapsed";
}
