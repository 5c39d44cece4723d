/** How this actor proves its identity, how a peer has proved its own, and which addresses need TLS. */
import { AddressError, UnauthenticatedError } from "../errors.ts";
import type { Address } from "../transport/address.ts";
import { readTextSync } from "../transport/files.ts";
import { isLoopback, isWildcard } from "../transport/host.ts";
import type { Secret, SecretOption } from "../transport/secret.ts";
import type { Link, LinkPeer } from "../transport/transport.ts";
import type { TlsIdentity } from "../transport/tls.ts";

/** A peer over plain tcp. */
export interface SecretProof {
  readonly auth: "secret";
  /**
   * Whether the peer is this user: it holds the secret of this user's runtime directory, or its end of the connection
   * belongs to a process of this user. Call it only where it matters: asking the kernel is slow.
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
 * same-user: the kernel says that its process belongs to this user (`uid`, where the system reports it). secret: it
 * holds the secret. tls: it has a certificate for `subject`, signed by our authority.
 */
export type PeerProof =
  | { readonly auth: "same-user"; readonly uid?: number }
  | SecretProof
  | { readonly auth: "tls"; readonly subject: string };

/** Over tcp the kernel may know too, and holding the secret of this user's own runtime directory counts as much. */
export function isSameUser(proof: PeerProof): boolean {
  return proof.auth === "same-user" || (proof.auth === "secret" && proof.isOwn());
}

/**
 * A peer's owner. Anything else that it claims (uuid, pid, host) is worth as much as a claim by any other peer of
 * that owner.
 */
export function ownerOf(proof: PeerProof): string {
  if (isSameUser(proof)) return "this user";
  return proof.auth === "tls" ? `tls:${proof.subject}` : proof.auth;
}

/** Whether `proof` is of this user and `other` isn't: then only the first one's claims count. */
export function outranks(proof: PeerProof, other: PeerProof): boolean {
  return isSameUser(proof) && !isSameUser(other);
}

export interface Credentials {
  /** For plain tcp; read on first use. @throws {UnauthenticatedError} when no usable secret can be read or made */
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
      // never loaded by an actor that uses only unix sockets
      const { readSecret } = require("../transport/secret.ts") as typeof import("../transport/secret.ts");
      this.#secret = readSecret(this.#option);
    }
    return this.#secret;
  }
}

/**
 * What the transport itself proves about its other end, or undefined when the peer must prove the secret instead.
 *
 * @throws {UnauthenticatedError} when the process there belongs to another user
 */
export function linkProof(
  peer: LinkPeer | undefined,
  isUnix: boolean,
  remote: string,
): PeerProof | undefined {
  if (peer?.kind === "tls") return { auth: "tls", subject: peer.subject };
  // if the kernel can't tell, the socket's directory, of mode 0700, keeps other users out
  if (peer === undefined) {
    if (!isUnix) return undefined;
    if (process.platform === "linux")
      throw new UnauthenticatedError(`the kernel doesn't say who ${remote} is`);
    return { auth: "same-user" };
  }
  const own = process.getuid?.();
  if (own !== undefined && peer.uid !== own) {
    throw new UnauthenticatedError(`${remote} runs as uid ${peer.uid}, this process as uid ${own}`);
  }
  return { auth: "same-user", uid: peer.uid };
}

/**
 * Plain tcp must not leave the machine: anyone along the route could read and change it.
 *
 * @throws {AddressError} when the address isn't loopback, and there is no TLS
 */
export function checkExposure(addr: Address, host: string, credentials: Pick<Credentials, "tls">): void {
  if (credentials.tls !== undefined || isLoopback(host)) return;
  const what = isWildcard(host) ? "is every address of this machine" : "is not a loopback address";
  throw new AddressError(`${addr} ${what}, so it needs mutual TLS: set security.tls (docs/security.md)`);
}

/**
 * Why a claimed pid can't be the peer's, or undefined if it may be. The kernel reports a pid of this process's
 * namespace.
 */
export function pidFault(peer: LinkPeer | undefined, claimed: number): string | undefined {
  if (peer?.kind !== "unix" || peer.pid === 0 || peer.pid === claimed) return undefined;
  if (innermostPid(peer.pid) === claimed) return undefined;
  return `it claims pid ${claimed} but is process ${peer.pid}`;
}

/** The pid of a process in its own, nested pid namespace; see `NSpid` in proc_pid_status(5). */
function innermostPid(pid: number): number | undefined {
  try {
    const [, pids = ""] = /^NSpid:\s*(.*)$/m.exec(readTextSync(`/proc/${pid}/status`)) ?? [];
    return Number(pids.split(/\s+/).at(-1));
  } catch {
    return undefined; // it has ended, or there is no /proc here
  }
}
