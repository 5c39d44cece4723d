/**
 * Hello, both ways, before anything else: who is here, in which version, listening where, and what for. The dialler
 * speaks first; the acceptor answers with its own hello or with a refusal that says why.
 */
import type { Deadline } from "../deadline.ts";
import { HandshakeError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { type Address, localizeAddress, parseAddress, qualifyAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { Kind, type Message, protocolVersion } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";

/** What a connection is for. A probe only wants the answer, and leaves. */
export type Purpose = "peer" | "probe";

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
 * Why an acceptor refuses. version: another protocol. target: somebody else was meant. duplicate: the two are connected
 * already. crossed: it is just dialling the other way. self: a dial to oneself. limit: too many connections.
 */
export type Refusal = "version" | "target" | "duplicate" | "crossed" | "self" | "limit" | "malformed";

/** A refusal by the acceptor, with its uuid where it told. */
export class RefusedError extends HandshakeError {
  readonly refusal: string;
  readonly uuid: string | undefined;

  constructor(refusal: string, text: string, uuid: string | undefined) {
    super(`refused (${refusal}): ${text}`);
    this.refusal = refusal;
    this.uuid = uuid;
  }
}

export function helloMessage(hello: Hello): Message {
  const { id, addrs, isRegistrar, purpose, target } = hello;
  const travelling = addrs.map((addr) => qualifyAddress(addr, id.host));
  // the last two are kept free for a nonce, and a proof over the other side's nonce
  return [
    Kind.hello,
    protocolVersion,
    id.uuid,
    id.name,
    id.host,
    id.pid,
    purpose,
    travelling,
    isRegistrar,
    target,
    null,
    null,
  ];
}

/**
 * Reads a hello; its fields have been checked for type.
 *
 * @throws {HandshakeError} when the version differs or a field is out of range
 */
export function readHello(message: Message): Hello {
  const [kind, version, uuid, name, host, pid, purpose, addrs, isRegistrar, target] = message;
  if (kind !== Kind.hello) throw new HandshakeError(`expected hello, got a message of kind ${String(kind)}`);
  if (version !== protocolVersion) {
    throw new HandshakeError(
      `the peer speaks protocol version ${String(version)}, this is version ${protocolVersion}`,
    );
  }
  const fault =
    actorNameFault(name) ??
    (/^[\w-]{1,64}$/.test(uuid as string) ? undefined : "the uuid is malformed") ??
    (purpose === "peer" || purpose === "probe" ? undefined : `unknown purpose ${JSON.stringify(purpose)}`);
  if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
  return {
    id: { name: name as string, uuid: uuid as string, pid: pid as number, host: host as string },
    addrs: readAddresses(addrs as unknown[]),
    isRegistrar: isRegistrar as boolean,
    purpose: purpose as Purpose,
    target: (target ?? null) as string | null,
  };
}

/** Addresses from the wire, as seen from this host. @throws {HandshakeError} when one is malformed */
export function readAddresses(list: readonly unknown[]): Address[] {
  return list.map((addr) => {
    try {
      parseAddress(addr as string);
    } catch (error) {
      throw new HandshakeError(`malformed address from a peer`, { cause: error });
    }
    return localizeAddress(addr as Address, hostId());
  });
}

/**
 * The dialler's side: says `hello` and returns the acceptor's. The caller takes over the channel's handler before the
 * turn is over, and closes it when this throws.
 *
 * @throws {HandshakeError} when the other end is not furrow, refuses, or is not the target
 * @throws {TimeoutError} with stage "handshake" when it is silent
 */
export async function greet(channel: Channel, hello: Hello, deadline: Deadline): Promise<Hello> {
  const answer = Promise.withResolvers<Message>();
  channel.handler = {
    onMessage: (message) => answer.resolve(message),
    onEnd: (end) =>
      answer.reject(
        new HandshakeError(
          `${channel.link.remote} ended the connection before its hello: not a furrow actor?`,
          {
            cause: end.error,
          },
        ),
      ),
  };
  channel.send(helloMessage(hello));
  channel.flush();
  const message = await deadline.race("handshake", answer.promise);
  if (message[0] === Kind.refuse) {
    throw new RefusedError(
      message[1] as string,
      message[2] as string,
      typeof message[3] === "string" ? message[3] : undefined,
    );
  }
  const theirs = readHello(message);
  if (hello.target !== null && theirs.id.uuid !== hello.target) {
    throw new HandshakeError(
      `${channel.link.remote} is ${describeActor(theirs.id)}, not the actor that was looked up`,
    );
  }
  return theirs;
}

export function refuseMessage(refusal: Refusal, text: string, uuid: string): Message {
  return [Kind.refuse, refusal, text, uuid];
}
