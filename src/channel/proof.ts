/**
 * How two actors prove over plain tcp that they hold the same secret, without revealing it: HMAC-SHA256 (RFC 2104)
 * over the role, both nonces, both uuids and every field of the handshake. `docs/protocol.md` has the exact bytes.
 *
 * Two messages can't prove the dialler: its first one comes before it has seen the acceptor's nonce. So it knocks
 * first, which shows the acceptor that an answer is warranted, and sends its proof ahead of its first request. Pure:
 * no I/O.
 */
import type { SaidHello } from "./handshake.ts";

export const nonceBytes = 16;
export const proofBytes = 32;

/** One from each side, `nonceBytes` long. */
export interface Nonces {
  readonly dialler: Uint8Array;
  readonly acceptor: Uint8Array;
}

/** What a complete handshake's proof covers: both nonces and both hellos. */
export interface Transcript {
  readonly nonces: Nonces;
  readonly dialler: SaidHello;
  readonly acceptor: SaidHello;
}

/** What a dialler reveals before the acceptor has proved itself. */
export type Knock = Pick<SaidHello, "purpose" | "target"> & { readonly uuid: string };

export function newNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(nonceBytes));
}

/**
 * The key of one connection, derived from its `ends`, which both sides see: a proof made for another connection is
 * worthless here. So a relay between two actors, listening on a port of its own, can't forward their proofs.
 */
export function connectionKey(secret: Uint8Array, ends: string): Uint8Array {
  return mac(secret, ["connection", ends]);
}

/** Proof in the first message that its sender holds the secret. */
export function knockProof(key: Uint8Array, nonce: Uint8Array, knock: Knock): Uint8Array {
  return mac(key, ["knock", nonce, ...knockFields(knock)]);
}

/**
 * The acceptor's proof, bound to the dialler's nonce. It can't cover the rest of the dialler's hello, which is still
 * to come.
 */
export function acceptorProof(
  key: Uint8Array,
  { nonces, acceptor }: Pick<Transcript, "nonces" | "acceptor">,
  knock: Knock,
): Uint8Array {
  const { dialler: theirs, acceptor: own } = nonces;
  return mac(key, ["acceptor", theirs, own, ...knockFields(knock), ...cardFields(acceptor)]);
}

/** The dialler's proof, bound to both nonces and both hellos. */
export function diallerProof(key: Uint8Array, { nonces, dialler, acceptor }: Transcript): Uint8Array {
  const knock = { uuid: dialler.id.uuid, purpose: dialler.purpose, target: dialler.target };
  const said = [...knockFields(knock), ...cardFields(acceptor), ...cardFields(dialler)];
  return mac(key, ["dialler", nonces.dialler, nonces.acceptor, ...said]);
}

/** Proves a refusal to the dialler that knocked. `said`: the refusal's code, its text and the acceptor's uuid. */
export function refusalProof(
  key: Uint8Array,
  nonce: Uint8Array,
  knock: Knock,
  said: readonly string[],
): Uint8Array {
  return mac(key, ["refuse", nonce, ...knockFields(knock), ...said]);
}

/** Whether a peer's proof is the expected one; compares in constant time. */
export function isProof(claimed: unknown, expected: Uint8Array): claimed is Uint8Array {
  return (
    claimed instanceof Uint8Array &&
    claimed.length === expected.length &&
    comparer.timingSafeEqual(claimed, expected)
  );
}

/** Bun offers this on `crypto` too; loading node:crypto takes milliseconds. */
const comparer = crypto as unknown as {
  timingSafeEqual(one: Uint8Array, other: Uint8Array): boolean;
};

type Field = string | Uint8Array;

function knockFields({ uuid, purpose, target }: Knock): Field[] {
  return [uuid, purpose, target ?? ""];
}

function cardFields({ id, addrs, isRegistrar, purpose }: SaidHello): Field[] {
  const said = [id.uuid, id.name, id.host, String(id.pid), purpose, isRegistrar ? "registrar" : ""];
  // a peer's addresses as it said them: anything but a text fails here or is refused after the proof
  return [...said, String(addrs.length), ...(addrs as readonly Field[])];
}

/** Prefixes each field with its length, so that no two lists of fields give the same bytes. */
function mac(key: Uint8Array, fields: readonly Field[]): Uint8Array {
  const hasher = new Bun.CryptoHasher("sha256", key);
  for (const field of fields) {
    hasher.update(`${typeof field === "string" ? Buffer.byteLength(field) : field.length}:`);
    hasher.update(field);
  }
  return new Uint8Array(hasher.digest());
}
