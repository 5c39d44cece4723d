/** What a peer may do in this actor, depending on how it proved its identity. */
import { isSameUser, ownerOf, type PeerProof } from "../channel/credentials.ts";
import { PermissionDeniedError } from "../errors.ts";

/**
 * A rule of `security.policy`. The first rule whose `from` matches a peer decides; fields that it omits have their
 * defaults.
 *
 * By default, peers of the same user may do everything. Others may call functions and look up names, but may not stop
 * actors, nor register a name held by an actor of this user or by one that proved a different identity.
 */
export interface PolicyRule {
  /**
   * `"same-user"`, `"secret"`, `"tls"`, `"tls:<subject>"` (a trailing `*` matches any rest), or `"*"` for all peers.
   */
  readonly from: string;
  /** Names of exported functions that they may call; a trailing `*` matches any rest. Lookups are always allowed. */
  readonly call?: readonly string[];
  /** Whether they may stop this actor with `cancelActor()` or `drainActor()`. An actor's own parent always may. */
  readonly stop?: boolean;
  /** Names that they may register with this actor, even if already in use; a trailing `*` matches any rest. */
  readonly register?: readonly string[];
}

/** The permissions of one peer. */
export interface Permissions {
  /** Undefined if it may call every function. */
  readonly mayCall: ((name: string) => boolean) | undefined;
  mayStop(): boolean;
  /** Whether it may register a name that actors with these proofs already hold. */
  mayRegister(name: string, holders: readonly PeerProof[]): boolean;
}

/** Everything is allowed: for an actor itself, its parent, and by default for peers of the same user. */
export const allPermissions: Permissions = Object.freeze({
  mayCall: undefined,
  mayStop: () => true,
  mayRegister: () => true,
});

/** By default, actors of one owner may share a name, and those of this user may register any name. */
function mayShare(proof: PeerProof, holders: readonly PeerProof[]): boolean {
  if (holders.length === 0 || isSameUser(proof)) return true;
  const owner = ownerOf(proof);
  return holders.every((holder) => ownerOf(holder) === owner);
}

export class Policy {
  readonly #rules: readonly PolicyRule[];

  /** @throws {TypeError} when a rule is malformed; the message names the rule and the field */
  constructor(rules: readonly PolicyRule[] = []) {
    if (!Array.isArray(rules)) throw new TypeError("security.policy must be an array of rules");
    rules.forEach(checkRule);
    this.#rules = rules;
  }

  permissionsOf(proof: PeerProof): Permissions {
    const rule = this.#rules.find(({ from }) => isFrom(from, proof));
    if (rule === undefined && proof.auth === "same-user") return allPermissions;
    const { call, stop, register } = rule ?? {};
    return {
      mayCall: call && ((name) => matchesAny(call, name)),
      mayStop: () => stop ?? isSameUser(proof),
      mayRegister: (name, holders) =>
        register === undefined ? mayShare(proof, holders) : matchesAny(register, name),
    };
  }
}

/** @throws {PermissionDeniedError} when `permissions` don't let a peer call `name` */
export function checkCall(permissions: Permissions, name: string, actor: string): void {
  if (permissions.mayCall?.(name) === false) {
    throw new PermissionDeniedError(`the policy of ${actor} doesn't let this peer call "${name}"`);
  }
}

function isFrom(from: string, proof: PeerProof): boolean {
  if (from === "*" || from === proof.auth) return true;
  return proof.auth === "tls" && from.startsWith("tls:") && matches(from.slice("tls:".length), proof.subject);
}

function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matches(pattern, name));
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

const fields: readonly string[] = ["from", "call", "stop", "register"] satisfies (keyof PolicyRule)[];

function checkRule(rule: unknown, at: number): void {
  const where = `security.policy[${at}]`;
  if (typeof rule !== "object" || rule === null) throw new TypeError(`${where} must be an object`);
  const unknown = Object.keys(rule).find((key) => !fields.includes(key));
  if (unknown !== undefined) {
    throw new TypeError(`${where} has the unknown field "${unknown}" (known: ${fields.join(", ")})`);
  }
  const { from, call, stop, register } = rule as Record<string, unknown>;
  if (typeof from !== "string" || !/^(same-user|secret|tls|tls:.+|\*)$/.test(from)) {
    throw new TypeError(
      `${where}.from must be "same-user", "secret", "tls", "tls:<subject>" or "*", got ${JSON.stringify(from)}`,
    );
  }
  for (const [field, value] of Object.entries({ call, register })) {
    const isNames = Array.isArray(value) && value.every((name) => typeof name === "string");
    if (value !== undefined && !isNames) throw new TypeError(`${where}.${field} must be an array of names`);
  }
  if (stop !== undefined && typeof stop !== "boolean") {
    throw new TypeError(`${where}.stop must be true or false`);
  }
}
