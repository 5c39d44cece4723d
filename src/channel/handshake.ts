/**
 * Hello, both ways, before anything else: who is here, in which version, listening where, and what for. The dialler
 * speaks first; the acceptor answers with its own hello or with a refusal that says why.
 *
 * Over a unix socket the kernel says who is at the other end, over TLS a certificate does. Over plain tcp both sides
 * prove that they hold the secret, and the dialler says who it is only once the acceptor has: see `proof.ts`.
 */
import type { Deadline } from "../deadline.ts";
import { HandshakeError, UnauthenticatedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import { type Address, localizeAddress, parseAddress, qualifyAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import type { Link } from "../transport/transport.ts";
import type { Secret } from "../transport/secret.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { Kind, type Message, protocolVersion } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";
import { pidFault, type PeerProof, secretProof } from "./credentials.ts";
import {
  acceptorProof,
  connectionKey,
  diallerProof,
  isProof,
  type Knock,
  knockProof,
  newNonce,
  nonceBytes,
} from "./proof.ts";

/**
 * What a connection is for. A probe only wants the answer, and leaves. An actor that is still booting says so, and
 * sends `ready` when it is registered: until then it is not found by its name. A further connection comes beside one
 * that the two have already, for what that one can't do.
 */
export type Purpose = "peer" | "boot" | "probe" | "further";

const purposes: readonly unknown[] = ["peer", "boot", "probe", "further"] satisfies Purpose[];

export interface Hello {
  readonly id: ActorId;
  /** Where it listens, as seen from here. */
  readonly addrs: readonly Address[];
  readonly isRegistrar: boolean;
  readonly purpose: Purpose;
  /** The uuid that the dialler means to reach, or null for whoever is there. */
  readonly target: string | null;
}

/**
 * Why an acceptor refuses. version: another protocol. unauthenticated: no proof, or a wrong one. target: another actor
 * was meant. duplicate: the two are connected already. crossed: it is just dialling the other way. self: a dial to
 * oneself. limit: too many connections, or addresses.
 */
export type Refusal =
  | "version"
  | "unauthenticated"
  | "target"
  | "duplicate"
  | "crossed"
  | "self"
  | "limit"
  | "malformed";

/** A refusal by the acceptor, with its uuid where it gave that. */
export class RefusedError extends HandshakeError {
  readonly refusal: string;
  readonly uuid: string | undefined;

  constructor(refusal: string, text: string, uuid: string | undefined) {
    super(`refused (${refusal}): ${text}`);
    this.refusal = refusal;
    this.uuid = uuid;
  }
}

const maxRefusalChars = 500;

/** A text of a peer that hasn't proved anything, as it may stand in errors and logs. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  return text.slice(0, maxRefusalChars).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}

/** A refusal as this side reports it. */
export function refusalError(message: Message, remote: string): Error {
  const [, refusal, said, uuid] = message;
  const text = printable(said as string);
  if (refusal === "unauthenticated") {
    return new UnauthenticatedError(
      `${remote} did not accept who this process is${text === "" ? "" : `: ${text}`}`,
    );
  }
  return new RefusedError(printable(refusal as string), text, typeof uuid === "string" ? uuid : undefined);
}

export function refuseMessage(refusal: Refusal, text: string, uuid: string): Message {
  return [Kind.refuse, refusal, text, uuid];
}

/** `nonce` and `proof` go over plain tcp. */
export function helloMessage(hello: Hello, nonce?: Uint8Array, proof?: Uint8Array): Message {
  const { id, isRegistrar, purpose, target } = hello;
  return [
    Kind.hello,
    protocolVersion,
    id.uuid,
    id.name,
    id.host,
    id.pid,
    purpose,
    travelling(hello),
    isRegistrar,
    target,
    nonce ?? null,
    proof ?? null,
  ];
}

function travelling({ id, addrs }: Hello): Address[] {
  return addrs.map((addr) => qualifyAddress(addr, id.host));
}

/** A hello as its proof covers it: with the addresses as they travel. */
function asSaid(hello: Hello): Hello {
  return { ...hello, addrs: travelling(hello) };
}

/** A dialler's first message over plain tcp: a hello that leaves out who it is. */
function knockMessage({ uuid, purpose, target }: Knock, nonce: Uint8Array, proof: Uint8Array): Message {
  return [Kind.hello, protocolVersion, uuid, "", "", 0, purpose, [], false, target, nonce, proof];
}

/** A dialler's second message over plain tcp: the proof, and what its first one left out. */
function proveMessage(hello: Hello, proof: Uint8Array): Message {
  const { id, isRegistrar } = hello;
  return [Kind.prove, proof, id.name, id.host, id.pid, travelling(hello), isRegistrar];
}

/** @throws {HandshakeError} when it isn't a hello, or of another version */
function checkVersion(message: Message): void {
  const [kind, version] = message;
  if (kind !== Kind.hello) throw new HandshakeError(`expected hello, got a message of kind ${String(kind)}`);
  if (version !== protocolVersion) {
    throw new HandshakeError(
      `the peer speaks protocol version ${String(version)}, this is version ${protocolVersion}`,
    );
  }
}

/**
 * Reads a hello; its fields have been checked for type.
 *
 * @throws {HandshakeError} when the version differs or a field is out of range
 * @throws {LimitError} when it has too many addresses, or one is too long
 */
export function readHello(message: Message): Hello {
  checkVersion(message);
  const [, , uuid, name, host, pid, purpose, addrs, isRegistrar, target] = message;
  return checkHello({
    id: { name: name as string, uuid: uuid as string, pid: pid as number, host: host as string },
    addrs: addrs as Address[],
    isRegistrar: isRegistrar as boolean,
    purpose: purpose as Purpose,
    target: (target ?? null) as string | null,
  });
}

function checkHello(said: Hello): Hello {
  const { name, uuid, host } = said.id;
  const fault =
    actorNameFault(name) ??
    knockFault(uuid, said.purpose) ??
    (/^[A-Za-z0-9]{0,64}$/.test(host) ? undefined : "the host id is malformed");
  if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
  return { ...said, addrs: readAddresses(said.addrs) };
}

function knockFault(uuid: string, purpose: string): string | undefined {
  if (!/^[\w-]{1,64}$/.test(uuid)) return "the uuid is malformed";
  return purposes.includes(purpose) ? undefined : `unknown purpose ${JSON.stringify(purpose)}`;
}

/**
 * Addresses from the wire, as seen from this host.
 *
 * @throws {HandshakeError} when one is malformed
 * @throws {LimitError} when there are too many, or one is too long
 */
export function readAddresses(list: readonly unknown[]): Address[] {
  checkAddressLimits(list);
  return list.map((addr) => {
    try {
      parseAddress(addr as string);
    } catch (error) {
      throw new HandshakeError(`malformed address from a peer`, { cause: error });
    }
    return localizeAddress(addr as Address, hostId());
  });
}

/** @throws {UnauthenticatedError} when the pid that the peer claims isn't the kernel's */
export function checkPid(channel: Channel, { id }: Hello): void {
  const fault = pidFault(channel.link.peer, id.pid);
  if (fault !== undefined) {
    throw new UnauthenticatedError(`${channel.link.remote} says that it is ${describeActor(id)}: ${fault}`);
  }
}

/**
 * The dialler's side: says `hello`, and gives the acceptor's to `take`, whose result it returns. `take` is called in the
 * moment of the answer and must take over the channel's handler: a first call may follow the hello in the same chunk.
 * The caller closes the channel when this throws. With `secret` both sides prove that they hold it; `beforeProof` is called
 * when the acceptor has, and may throw.
 *
 * @throws {HandshakeError} when the other end isn't furrow, refuses, or isn't the target
 * @throws {UnauthenticatedError} when one of the two doesn't accept the other's proof
 * @throws {TimeoutError} with stage "handshake" when it is silent
 */
export async function greet<T>(
  channel: Channel,
  hello: Hello,
  secret: Secret | undefined,
  deadline: Deadline,
  take: (theirs: Hello) => T,
  beforeProof: (theirs: Hello) => void = () => {},
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const knock = { uuid: hello.id.uuid, purpose: hello.purpose, target: hello.target };
  const nonce = newNonce();
  channel.handler = {
    onMessage: (message) => {
      try {
        const theirs = readAnswer(message, hello.target, channel, secret);
        if (secret !== undefined) answerProof(message, theirs);
        resolve(take(theirs));
      } catch (error) {
        reject(error);
      }
    },
    onEnd: (end) =>
      reject(
        new HandshakeError(
          `${channel.link.remote} ended the connection before its hello: not a furrow actor?`,
          { cause: end.error },
        ),
      ),
  };
  /** Checks the acceptor's proof, and sends one's own: ahead of the first request, in the same write. */
  const answerProof = (message: Message, theirs: Hello): void => {
    const { source } = secret!;
    const key = connectionKey(secret!.key, channel.link.ends);
    const acceptorNonce = message[10];
    const said = { ...theirs, addrs: message[7] as Address[] };
    if (!(acceptorNonce instanceof Uint8Array) || acceptorNonce.length !== nonceBytes) {
      throw new UnauthenticatedError(
        `${channel.link.remote} did not prove that it holds the secret of ${source}`,
      );
    }
    const nonces = { dialler: nonce, acceptor: acceptorNonce };
    if (!isProof(message[11], acceptorProof(key, { nonces, acceptor: said }, knock))) {
      throw new UnauthenticatedError(
        `${channel.link.remote} did not prove that it holds the secret of ${source}`,
      );
    }
    if (hello.purpose === "probe") return;
    beforeProof(theirs);
    const transcript = { nonces, dialler: asSaid(hello), acceptor: said };
    channel.sendControl(proveMessage(hello, diallerProof(key, transcript)));
  };
  channel.sendControl(
    secret === undefined
      ? helloMessage(hello)
      : knockMessage(knock, nonce, knockProof(secret.key, nonce, knock)),
  );
  channel.flush();
  return await deadline.race("handshake", promise);
}

function readAnswer(
  message: Message,
  target: string | null,
  channel: Channel,
  secret: Secret | undefined,
): Hello {
  const { remote } = channel.link;
  if (message[0] === Kind.refuse) {
    const error = refusalError(message, remote);
    if (error instanceof UnauthenticatedError && secret !== undefined)
      throw new UnauthenticatedError(`${error.message}: it has another secret than that of ${secret.source}`);
    throw error;
  }
  const theirs = readHello(message);
  checkPid(channel, theirs);
  if (target !== null && theirs.id.uuid !== target) {
    throw new HandshakeError(`${remote} is ${describeActor(theirs.id)}, not the actor that was looked up`);
  }
  return theirs;
}

/** A dialler over plain tcp, as the acceptor knows it: at first only what it knocked with. */
export class Knocker {
  readonly knock: Knock;
  readonly #secret: Secret;
  readonly #key: Uint8Array;
  readonly #nonces: { readonly dialler: Uint8Array; readonly acceptor: Uint8Array };

  private constructor(knock: Knock, secret: Secret, ends: string, nonce: Uint8Array) {
    this.knock = knock;
    this.#secret = secret;
    this.#key = connectionKey(secret.key, ends);
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
    const knock = { uuid, purpose, target: target ?? null } as Knock;
    if (
      !(nonce instanceof Uint8Array) ||
      nonce.length !== nonceBytes ||
      !isProof(proof, knockProof(secret.key, nonce, knock))
    ) {
      throw new UnauthenticatedError("no proof of the secret");
    }
    const fault = knockFault(knock.uuid, knock.purpose);
    if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
    // a copy: the chunk that it is a view of must not be kept
    return new Knocker(knock, secret, ends, nonce.slice());
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
      id: { name: name as string, uuid, pid: pid as number, host: host as string },
      addrs: addrs as Address[],
      isRegistrar: isRegistrar as boolean,
      purpose,
      target,
    };
    const transcript = { nonces: this.#nonces, dialler: said, acceptor: asSaid(own) };
    if (!isProof(proof, diallerProof(this.#key, transcript)))
      throw new UnauthenticatedError("a wrong proof of the secret");
    return checkHello(said);
  }
}
