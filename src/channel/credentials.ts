/** What an actor proves itself with, how a peer has proved itself, and which addresses need TLS. */
import { readFileSync } from "node:fs";

import { AddressError, UnauthenticatedError } from "../errors.ts";
import type { Address } from "../transport/address.ts";
import { isLoopback, isWildcard } from "../transport/host.ts";
import type { Secret, SecretOption } from "../transport/secret.ts";
import type { Link, LinkPeer } from "../transport/transport.ts";
import type { TlsIdentity } from "../transport/tls.ts";

/** A peer over plain tcp. */
export interface SecretProof {
  readonly auth: "secret";
  /**
   * Whether it is this user: it holds the secret of this user's runtime directory, or its end of the connection belongs
   * to a process of this user. Asked for only where it matters, since the kernel takes its time.
   */
  isOwn(): boolean;
}

export function secretProof(secret: Secret, link: Link): SecretProof {
  return {
    auth: "secret",
    isOwn: () => secret.isOwn || (process.getuid !== undefined && link.loopbackUid() === process.getuid()),
  };
}

/**
 * How a peer proved who it is.
 *
 * same-user: the kernel says that its process belongs to this user (`uid`, where the system tells). secret: it holds the
 * secret. tls: a certificate that our authority signed, `subject` in its name.
 */
export type PeerProof =
  | { readonly auth: "same-user"; readonly uid?: number }
  | SecretProof
  | { readonly auth: "tls"; readonly subject: string };

/** Over tcp too the kernel may know, and the secret in this user's own runtime directory is as good as its word. */
export function isSameUser(proof: PeerProof): boolean {
  return proof.auth === "same-user" || (proof.auth === "secret" && proof.isOwn());
}

/** Whose a peer is. What it says of itself beyond that (uuid, pid, host) is as good as the word of any other of that owner. */
export function ownerOf(proof: PeerProof): string {
  if (isSameUser(proof)) return "this user";
  return proof.auth === "tls" ? `tls:${proof.subject}` : proof.auth;
}

/** Whether what `proof` says counts, and what `other` says doesn't: of the two only the first is of this user. */
export function outranks(proof: PeerProof, other: PeerProof): boolean {
  return isSameUser(proof) && !isSameUser(other);
}

export interface Credentials {
  /** For plain tcp; read when it is first needed. @throws {UnauthenticatedError} when there is none to be had */
  readonly secret: Secret;
  readonly tls: TlsIdentity | undefined;
}

export class ActorCredentials implements Credentials {
  readonly tls: TlsIdentity | undefined;
  readonly #option: SecretOption | undefined;
  #secret: Secret | undefined;

  constructor(option: SecretOption | undefined, tls: TlsIdentity | undefined) {
    this.#option = option;
    this.tls = tls;
  }

  get secret(): Secret {
    if (this.#secret === undefined) {
      // where only unix sockets are used it is never needed
      const { readSecret } = require("../transport/secret.ts") as typeof import("../transport/secret.ts");
      this.#secret = readSecret(this.#option);
    }
    return this.#secret;
  }
}

/**
 * What the transport proves of its other end, or undefined when a proof of the secret has to do.
 *
 * @throws {UnauthenticatedError} when the process there belongs to another user
 */
export function linkProof(
  peer: LinkPeer | undefined,
  isUnix: boolean,
  remote: string,
): PeerProof | undefined {
  if (peer?.kind === "tls") return { auth: "tls", subject: peer.subject };
  // where the kernel doesn't tell, the socket's directory of mode 0700 keeps other users out
  if (peer === undefined) {
    if (!isUnix) return undefined;
    if (process.platform === "linux")
      throw new UnauthenticatedError(`the kernel doesn't say who ${remote} is`);
    return { auth: "same-user" };
  }
  const own = process.getuid?.();
  if (own !== undefined && peer.uid !== own) {
    throw new UnauthenticatedError(`${remote} belongs to uid ${peer.uid}, and this process to uid ${own}`);
  }
  return { auth: "same-user", uid: peer.uid };
}

/**
 * Plain tcp must not leave the machine: everybody on the way could read and change what is said.
 *
 * @throws {AddressError} when the address isn't loopback, and there is no TLS
 */
export function checkExposure(addr: Address, host: string, credentials: Pick<Credentials, "tls">): void {
  if (credentials.tls !== undefined || isLoopback(host)) return;
  const what = isWildcard(host) ? "is every address of this machine" : "is not a loopback address";
  throw new AddressError(`${addr} ${what}, so it needs mutual TLS: set security.tls (docs/security.md)`);
}

/** Why a claimed pid isn't the peer's, or undefined when it may be. The kernel's word is a pid of this namespace. */
export function pidFault(peer: LinkPeer | undefined, claimed: number): string | undefined {
  if (peer?.kind !== "unix" || peer.pid === 0 || peer.pid === claimed) return undefined;
  if (innermostPid(peer.pid) === claimed) return undefined;
  return `it claims pid ${claimed}, and is process ${peer.pid}`;
}

/** What a process in a pid namespace below this one calls itself; see `NSpid` in proc_pid_status(5). */
function innermostPid(pid: number): number | undefined {
  try {
    const [, pids = ""] = /^NSpid:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(pids.split(/\s+/).at(-1));
  } catch {
    return undefined; // it has ended, or there is no /proc here
  }
}
