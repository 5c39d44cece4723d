/**
 * The handshake over plain tcp, where nothing says who is at the other end: both sides prove that they hold the secret
 * (`proof.ts`), and the dialler says who it is only once the acceptor has. It knocks, is answered with a hello, and sends
 * its proof with the rest of its own.
 *
 * Loaded with the first such connection: an actor with unix sockets alone never needs it.
 */
import type { Deadline } from "../deadline.ts";
import { HandshakeError, UnauthenticatedError } from "../errors.ts";
import type { Secret } from "../transport/secret.ts";
import type { Link } from "../transport/transport.ts";
import { Kind, type Message, type MessageOf, protocolVersion } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";
import { type PeerProof, secretProof } from "./credentials.ts";
import {
  ask,
  checkHello,
  checkVersion,
  type Hello,
  helloMessage,
  knockFault,
  readAnswer,
  type Refusal,
  refusalError,
  refuseMessage,
  type SaidHello,
  travelling,
} from "./handshake.ts";
import {
  acceptorProof,
  connectionKey,
  diallerProof,
  isProof,
  type Knock,
  knockProof,
  newNonce,
  nonceBytes,
  type Nonces,
  refusalProof,
} from "./proof.ts";

/** A dialler's first message over plain tcp: a hello that leaves out who it is. */
function knockMessage(
  { uuid, purpose, target }: Knock,
  nonce: Uint8Array,
  proof: Uint8Array,
): MessageOf<typeof Kind.hello> {
  return [Kind.hello, protocolVersion, uuid, "", "", 0, purpose, [], false, target, nonce, proof];
}

/** A dialler's second message over plain tcp: the proof, and what its first one left out. */
function proveMessage(hello: Hello, proof: Uint8Array): MessageOf<typeof Kind.prove> {
  const { id, isRegistrar } = hello;
  return [Kind.prove, proof, id.name, id.host, id.pid, travelling(hello), isRegistrar];
}

/** A hello as its proof covers it: with the addresses as they travel. */
function asSaid(hello: Hello): SaidHello {
  return { ...hello, addrs: travelling(hello) };
}

/**
 * The dialler's side, as `greet` of `handshake.ts`. `beforeProof` is called when the acceptor has proved itself, and may throw.
 *
 * @throws as `greet`
 * @throws {UnauthenticatedError} when one of the two doesn't accept the other's proof
 */
export async function knock<T>(
  channel: Channel,
  hello: Hello,
  secret: Secret,
  deadline: Deadline,
  take: (theirs: Hello) => T,
  beforeProof: (theirs: Hello) => void,
): Promise<T> {
  const key = connectionKey(secret.key, channel.link.ends);
  const own = { uuid: hello.id.uuid, purpose: hello.purpose, target: hello.target };
  const nonce = newNonce();
  /** The acceptor's hello, which it has proved to be its own. */
  const check = (
    answer: Message,
  ): { readonly theirs: Hello; readonly nonces: Nonces; readonly said: SaidHello } => {
    checkVersion(answer);
    const theirs = readAnswer(answer, hello, channel);
    const said = { ...theirs, addrs: answer[7] };
    const acceptor = answer[10];
    if (isNonce(acceptor)) {
      const nonces = { dialler: nonce, acceptor };
      if (isProof(answer[11], acceptorProof(key, { nonces, acceptor: said }, own)))
        return { theirs, nonces, said };
    }
    throw new UnauthenticatedError(
      `${channel.link.remote} did not prove that it holds the secret of ${secret.source}`,
    );
  };
  return await ask(channel, knockMessage(own, nonce, knockProof(key, nonce, own)), deadline, (answer) => {
    if (answer[0] === Kind.refuse) {
      const [, refusal, text, uuid, claimed] = answer;
      const words = [refusal, text, typeof uuid === "string" ? uuid : ""];
      const isProved = isProof(claimed, refusalProof(key, nonce, own, words));
      throw whereItDiffers(refusalError(answer, channel.link.remote, isProved), secret);
    }
    const { theirs, nonces, said } = check(answer);
    if (hello.purpose !== "probe") {
      beforeProof(theirs);
      // ahead of the first request, in the same write
      const proof = diallerProof(key, { nonces, dialler: asSaid(hello), acceptor: said });
      channel.sendControl(proveMessage(hello, proof));
    }
    return take(theirs);
  });
}

function whereItDiffers(error: Error, { source }: Secret): Error {
  if (!(error instanceof UnauthenticatedError)) return error;
  return new UnauthenticatedError(`${error.message}: it has another secret than that of ${source}`);
}

function isNonce(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === nonceBytes;
}

/** A dialler over plain tcp, as the acceptor knows it: at first only what it knocked with. */
export class Knocker {
  readonly knock: Knock;
  readonly #secret: Secret;
  readonly #key: Uint8Array;
  readonly #nonces: Nonces;

  private constructor(knock: Knock, secret: Secret, key: Uint8Array, nonce: Uint8Array) {
    this.knock = knock;
    this.#secret = secret;
    this.#key = key;
    this.#nonces = { dialler: nonce, acceptor: newNonce() };
  }

  /**
   * Reads a first message over plain tcp, on the connection with these `ends`.
   *
   * @throws {HandshakeError} when it isn't a hello of this version, or malformed
   * @throws {UnauthenticatedError} when its sender doesn't hold the secret
   */
  static read(message: Message, secret: Secret, ends: string): Knocker {
    checkVersion(message);
    const [, , uuid, , , , purpose, , , target, nonce, proof] = message;
    const knock: Knock = { uuid, purpose, target: target ?? null };
    const key = connectionKey(secret.key, ends);
    if (!isNonce(nonce) || !isProof(proof, knockProof(key, nonce, knock)))
      throw new UnauthenticatedError("no proof of the secret");
    const fault = knockFault(knock.uuid, knock.purpose);
    if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
    // a copy: the chunk that it is a view of must not be kept
    return new Knocker(knock, secret, key, nonce.slice());
  }

  proofOver(link: Link): PeerProof {
    return secretProof(this.#secret, link);
  }

  /** The acceptor's hello, with its proof. */
  answer(own: Hello): Message {
    const { acceptor } = this.#nonces;
    const proof = acceptorProof(this.#key, { nonces: this.#nonces, acceptor: asSaid(own) }, this.knock);
    return helloMessage(own, acceptor, proof);
  }

  /** A refusal that only an acceptor with the secret can make. */
  refuse(refusal: Refusal, text: string, uuid: string): Message {
    const proof = refusalProof(this.#key, this.#nonces.dialler, this.knock, [refusal, text, uuid]);
    return refuseMessage(refusal, text, uuid, proof);
  }

  /**
   * The whole hello, from the message that has the dialler's proof; `own` is what it was answered with.
   *
   * @throws {UnauthenticatedError} when it isn't that, or the proof is wrong
   * @throws {HandshakeError} when a field is out of range
   */
  prove(message: Message, own: Hello): Hello {
    if (message[0] !== Kind.prove) {
      throw new UnauthenticatedError(`expected a proof, got a message of kind ${message[0]}`);
    }
    const [, proof, name, host, pid, addrs, isRegistrar] = message;
    const { uuid, purpose, target } = this.knock;
    const said = {
      id: { name, uuid, pid, host },
      addrs,
      isRegistrar,
      purpose,
      target,
    };
    const transcript = { nonces: this.#nonces, dialler: said, acceptor: asSaid(own) };
    if (!isProof(proof, diallerProof(this.#key, transcript)))
      throw new UnauthenticatedError("a wrong proof of the secret");
    return checkHello(said);
  }
}
