/**
 * Hello, both ways, before anything else: who is here, in which version, listening where, and what for. The dialler
 * speaks first; the acceptor answers with its own hello or with a refusal that says why.
 *
 * Over a unix socket the kernel says who is at the other end, over TLS a certificate does, and that is all there is to it.
 * Over plain tcp both sides prove that they hold the secret: see `knock.ts`.
 */
import type { Deadline } from "../deadline.ts";
import { HandshakeError, UnauthenticatedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import { type Address, localizeAddress, parseAddress, qualifyAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { Kind, type Message, type MessageOf, protocolVersion } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";
import { pidFault } from "./credentials.ts";

/**
 * What a connection is for. A probe only wants the answer, and leaves. An actor that is still booting says so, and
 * sends `ready` when it is registered: until then it is not found by its name. A further connection comes beside one
 * that the two have already, for what that one can't do.
 */
export type Purpose = "peer" | "boot" | "probe" | "further";

const purposes: readonly string[] = ["peer", "boot", "probe", "further"] satisfies Purpose[];

/** A hello as a peer said it: `checkHello` makes a `Hello` of it. */
export interface SaidHello {
  readonly id: ActorId;
  readonly addrs: readonly unknown[];
  readonly isRegistrar: boolean;
  readonly purpose: string;
  /** The uuid that the dialler means to reach, or null for whoever is there. */
  readonly target: string | null;
}

export interface Hello extends SaidHello {
  /** Where it listens, as seen from here. */
  readonly addrs: readonly Address[];
  readonly purpose: Purpose;
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

/** A refusal by whatever answered. */
export class RefusedError extends HandshakeError {
  readonly refusal: string;
  /** The acceptor's uuid. Undefined when it didn't prove its refusal: then nothing that it says is known to be true. */
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

/** A refusal as this side reports it. `isProved`: it comes from an actor that we trust. */
export function refusalError(
  message: MessageOf<typeof Kind.refuse>,
  remote: string,
  isProved: boolean,
): Error {
  const [, refusal, said, uuid] = message;
  const text = printable(said);
  if (refusal === "unauthenticated") {
    return new UnauthenticatedError(
      `${remote} did not accept who this process is${text === "" ? "" : `: ${text}`}`,
    );
  }
  const known = isProved && typeof uuid === "string" ? uuid : undefined;
  return new RefusedError(printable(refusal), text, known);
}

/** `proof` goes over plain tcp, to who has knocked with one. */
export function refuseMessage(refusal: Refusal, text: string, uuid: string, proof?: Uint8Array): Message {
  return proof === undefined ? [Kind.refuse, refusal, text, uuid] : [Kind.refuse, refusal, text, uuid, proof];
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

export function travelling({ id, addrs }: Hello): Address[] {
  return addrs.map((addr) => qualifyAddress(addr, id.host));
}

/** @throws {HandshakeError} when it isn't a hello, or of another version */
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
 * Reads a hello; its fields have been checked for type.
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
  const { name, uuid, host } = said.id;
  const fault =
    actorNameFault(name) ??
    knockFault(uuid, said.purpose) ??
    (/^[A-Za-z0-9]{0,64}$/.test(host) ? undefined : "the host id is malformed");
  if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
  // `knockFault` knows the purpose
  return { ...said, purpose: said.purpose as Purpose, addrs: readAddresses(said.addrs) };
}

export function knockFault(uuid: string, purpose: string): string | undefined {
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
 * The caller closes the channel when this throws.
 *
 * @throws {HandshakeError} when the other end isn't furrow, refuses, or isn't the target
 * @throws {UnauthenticatedError} when the acceptor doesn't accept who this process is
 * @throws {TimeoutError} with stage "handshake" when it is silent
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

/** Sends a first message and gives the answer to `take`, in the moment of it. */
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
 * The acceptor's answer to `own`.
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
