/**
 * How two actors prove over plain tcp that they hold the same secret, without saying it: HMAC-SHA256 (RFC 2104) over the
 * role, both nonces, both uuids and all that the handshake said. `docs/protocol.md` has the exact bytes.
 *
 * Two messages can't prove the dialler, which hasn't seen the acceptor's nonce yet. So it knocks first, which tells an
 * acceptor that it is worth an answer, and sends its proof ahead of its first request. Pure: no I/O.
 */
import type { SaidHello } from "./handshake.ts";

export const nonceBytes = 16;
export const proofBytes = 32;

/** One of each side, of `nonceBytes`. */
export interface Nonces {
  readonly dialler: Uint8Array;
  readonly acceptor: Uint8Array;
}

/** What both sides know of a handshake once the acceptor has answered. */
export interface Transcript {
  readonly nonces: Nonces;
  readonly dialler: SaidHello;
  readonly acceptor: SaidHello;
}

/** What a dialler says of itself before it has seen a proof. */
export type Knock = Pick<SaidHello, "purpose" | "target"> & { readonly uuid: string };

export function newNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(nonceBytes));
}

/**
 * The key of one connection, whose `ends` both sides see: what is proved over another one is worth nothing on this. So
 * whoever sits between two actors, at a port of its own, can't pass their proofs on.
 */
export function connectionKey(secret: Uint8Array, ends: string): Uint8Array {
  return mac(secret, ["connection", ends]);
}

/** The first message's proof: its sender holds the secret. */
export function knockProof(key: Uint8Array, nonce: Uint8Array, knock: Knock): Uint8Array {
  return mac(key, ["knock", nonce, ...knockFields(knock)]);
}

/** The acceptor's proof, bound to the dialler's nonce. It can't know yet what the dialler says of itself. */
export function acceptorProof(
  key: Uint8Array,
  { nonces, acceptor }: Pick<Transcript, "nonces" | "acceptor">,
  knock: Knock,
): Uint8Array {
  const { dialler: theirs, acceptor: own } = nonces;
  return mac(key, ["acceptor", theirs, own, ...knockFields(knock), ...cardFields(acceptor)]);
}

/** The dialler's proof, bound to both nonces and to all that was said. */
export function diallerProof(key: Uint8Array, { nonces, dialler, acceptor }: Transcript): Uint8Array {
  const knock = { uuid: dialler.id.uuid, purpose: dialler.purpose, target: dialler.target };
  const said = [...knockFields(knock), ...cardFields(acceptor), ...cardFields(dialler)];
  return mac(key, ["dialler", nonces.dialler, nonces.acceptor, ...said]);
}

/** Proves a refusal to who has knocked, with `said`: its code, its text and the acceptor's uuid. */
export function refusalProof(
  key: Uint8Array,
  nonce: Uint8Array,
  knock: Knock,
  said: readonly string[],
): Uint8Array {
  return mac(key, ["refuse", nonce, ...knockFields(knock), ...said]);
}

/** Whether `claimed`, from a peer, is the proof that was expected; takes the same time wherever they differ. */
export function isProof(claimed: unknown, expected: Uint8Array): claimed is Uint8Array {
  return (
    claimed instanceof Uint8Array &&
    claimed.length === expected.length &&
    comparer.timingSafeEqual(claimed, expected)
  );
}

/** Bun has it here as well as in node:crypto, which takes milliseconds to load. */
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

/** Each field with its length in front, so that no two lists of fields give the same bytes. */
function mac(key: Uint8Array, fields: readonly Field[]): Uint8Array {
  const hasher = new Bun.CryptoHasher("sha256", key);
  for (const field of fields) {
    hasher.update(`${typeof field === "string" ? Buffer.byteLength(field) : field.length}:`);
    hasher.update(field);
  }
  return new Uint8Array(hasher.digest());
}
