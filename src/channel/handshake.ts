/**
 * Every connection starts with a hello in each direction: identity, protocol version, addresses and purpose. The
 * dialler speaks first; the acceptor answers with its own hello or with a refusal that gives the reason.
 *
 * Over a unix socket the kernel identifies the other end, over TLS a certificate does, and nothing more is needed.
 * Over plain tcp both sides prove that they hold the secret: see `knock.ts`.
 */
import type { Deadline } from "../deadline.ts";
import { HandshakeError, UnauthenticatedError } from "../errors.ts";
import { type ActorId, describeActor, idFault, uuidFault } from "../identity.ts";
import { printable } from "../log.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import { type Address, localizeAddress, parseAddress, qualifyAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { Kind, type Message, type MessageOf, protocolVersion } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";
import { pidFault } from "./credentials.ts";

/**
 * What a connection is for. A probe wants only the answer, then leaves. An actor that is still booting says `boot`,
 * and sends `ready` once it is registered: until then it can't be found by name. A further connection is opened next
 * to an existing one, for what that one can't do.
 */
export type Purpose = "peer" | "boot" | "probe" | "further";

const purposes: readonly string[] = ["peer", "boot", "probe", "further"] satisfies Purpose[];

/** A hello as a peer said it: `checkHello` makes a `Hello` of it. */
export interface SaidHello {
  readonly id: ActorId;
  readonly addrs: readonly unknown[];
  readonly isRegistrar: boolean;
  readonly purpose: string;
  /** The uuid that the dialler wants to reach, or null for any actor. */
  readonly target: string | null;
}

export interface Hello extends SaidHello {
  /** Where it listens, as seen from here. */
  readonly addrs: readonly Address[];
  readonly purpose: Purpose;
}

/**
 * Why an acceptor refuses. version: another protocol version. unauthenticated: no proof, or a wrong one. target: the
 * dialler wants another actor. duplicate: the two are already connected. crossed: the acceptor is dialling the other
 * way. self: the dialler reached itself. limit: too many connections or addresses, or this actor is ending.
 * malformed: not a valid hello.
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

/** A refusal from whatever answered. */
export class RefusedError extends HandshakeError {
  readonly refusal: string;
  /** The acceptor's uuid. Undefined when the refusal wasn't proved: then nothing in it can be trusted. */
  readonly uuid: string | undefined;

  constructor(refusal: string, text: string, uuid: string | undefined) {
    super(`refused (${refusal}): ${text}`);
    this.refusal = refusal;
    this.uuid = uuid;
  }
}

/** The error for a refusal. `isProved`: it comes from an authenticated actor. */
export function refusalError(
  message: MessageOf<typeof Kind.refuse>,
  remote: string,
  isProved: boolean,
): Error {
  const [, refusal, said, uuid] = message;
  const text = printable(said);
  if (refusal === "unauthenticated") {
    return new UnauthenticatedError(
      `${remote} did not accept this process's identity${text === "" ? "" : `: ${text}`}`,
    );
  }
  const known = isProved && typeof uuid === "string" ? uuid : undefined;
  return new RefusedError(printable(refusal), text, known);
}

/** `proof`: only over plain tcp, in answer to a proved knock. */
export function refuseMessage(refusal: Refusal, text: string, uuid: string, proof?: Uint8Array): Message {
  return proof === undefined ? [Kind.refuse, refusal, text, uuid] : [Kind.refuse, refusal, text, uuid, proof];
}

/** `nonce` and `proof`: only over plain tcp. */
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

export function travelling({ id, addrs }: Hello): Address[] {
  return addrs.map((addr) => qualifyAddress(addr, id.host));
}

/** @throws {HandshakeError} when `message` isn't a hello of this version */
export function checkVersion(message: Message): asserts message is MessageOf<typeof Kind.hello> {
  const [kind, version] = message;
  if (kind !== Kind.hello) throw new HandshakeError(`expected hello, got a message of kind ${kind}`);
  if (version !== protocolVersion) {
    throw new HandshakeError(
      `the peer speaks protocol version ${version}, this is version ${protocolVersion}`,
    );
  }
}

/**
 * Reads a hello whose field types have been checked.
 *
 * @throws {HandshakeError} when the version differs or a field is out of range
 * @throws {LimitError} when it has too many addresses, or one is too long
 */
export function readHello(message: Message): Hello {
  checkVersion(message);
  const [, , uuid, name, host, pid, purpose, addrs, isRegistrar, target] = message;
  return checkHello({
    id: { name, uuid, pid, host },
    addrs,
    isRegistrar,
    purpose,
    target: target ?? null,
  });
}

/**
 * Checks what a peer said; the addresses become those seen from this host.
 *
 * @throws as `readHello`
 */
export function checkHello(said: SaidHello): Hello {
  const fault = actorNameFault(said.id.name) ?? idFault(said.id) ?? purposeFault(said.purpose);
  if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
  const { id, addrs, isRegistrar, purpose, target } = said;
  // `purposeFault` knows the purpose
  return { id, addrs: readAddresses(addrs), isRegistrar, purpose: purpose as Purpose, target };
}

export function knockFault(uuid: string, purpose: string): string | undefined {
  return uuidFault(uuid) ?? purposeFault(purpose);
}

function purposeFault(purpose: string): string | undefined {
  return purposes.includes(purpose) ? undefined : `unknown purpose ${JSON.stringify(purpose)}`;
}

/**
 * Checks addresses from the wire and rewrites them as seen from this host.
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

/** @throws {UnauthenticatedError} when the peer claims another pid than the kernel reports */
export function checkPid(channel: Channel, { id }: Hello): void {
  const fault = pidFault(channel.link.peer, id.pid);
  if (fault !== undefined) {
    throw new UnauthenticatedError(`${channel.link.remote} claims to be ${describeActor(id)}: ${fault}`);
  }
}

/**
 * The dialler's side: sends `hello` and returns what `take` makes of the acceptor's. `take` is called synchronously
 * when the answer arrives and must replace the channel's handler: a first call may follow the hello in the same
 * chunk. The caller closes the channel if this throws.
 *
 * @throws {HandshakeError} when the other end isn't furrow, refuses, or isn't the target
 * @throws {UnauthenticatedError} when the acceptor doesn't accept this process's identity
 * @throws {TimeoutError} with stage "handshake" when the other end is silent
 */
export async function greet<T>(
  channel: Channel,
  hello: Hello,
  deadline: Deadline,
  take: (theirs: Hello) => T,
): Promise<T> {
  return await ask(channel, helloMessage(hello), deadline, (answer) =>
    take(readAnswer(answer, hello, channel)),
  );
}

/** Sends a first message and passes the answer to `take` synchronously when it arrives. */
export async function ask<T>(
  channel: Channel,
  first: Message,
  deadline: Deadline,
  take: (answer: Message) => T,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  channel.handler = {
    onMessage: (message) => {
      try {
        resolve(take(message));
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
  channel.sendControl(first);
  channel.flush();
  return await deadline.race("handshake", promise);
}

/**
 * Reads the acceptor's answer to `own`.
 *
 * @throws as `greet`
 */
export function readAnswer(message: Message, own: Hello, channel: Channel): Hello {
  const { remote } = channel.link;
  if (message[0] === Kind.refuse) throw refusalError(message, remote, true);
  const theirs = readHello(message);
  checkPid(channel, theirs);
  if (own.target !== null && theirs.id.uuid !== own.target) {
    throw new HandshakeError(`${remote} is ${describeActor(theirs.id)}, not the actor that was looked up`);
  }
  return theirs;
}
