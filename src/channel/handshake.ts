/**
 * Hello, both ways, before anything else: who is here, in which version, listening where, and what for. The dialler
 * speaks first; the acceptor answers with its own hello or with a refusal that says why.
 */
import type { Deadline } from "../deadline.ts";
import { HandshakeError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import { type Address, localizeAddress, parseAddress, qualifyAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { Kind, type Message, protocolVersion } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";

/**
 * What a connection is for. A probe only wants the answer, and leaves. An actor that is still booting says so, and
 * sends `ready` when it is registered: until then it is not found by its name.
 */
export type Purpose = "peer" | "boot" | "probe";

const purposes: readonly unknown[] = ["peer", "boot", "probe"] satisfies Purpose[];

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
 * already. crossed: it is just dialling the other way. self: a dial to oneself. limit: too many connections, or addresses.
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
 * @throws {LimitError} when it has too many addresses, or one is too long
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
    (/^[A-Za-z0-9]{0,64}$/.test(host as string) ? undefined : "the host id is malformed") ??
    (purposes.includes(purpose) ? undefined : `unknown purpose ${JSON.stringify(purpose)}`);
  if (fault !== undefined) throw new HandshakeError(`malformed hello: ${fault}`);
  return {
    id: { name: name as string, uuid: uuid as string, pid: pid as number, host: host as string },
    addrs: readAddresses(addrs as unknown[]),
    isRegistrar: isRegistrar as boolean,
    purpose: purpose as Purpose,
    target: (target ?? null) as string | null,
  };
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

/**
 * The dialler's side: says `hello`, and gives the acceptor's to `take`, whose result it returns. `take` is called in the
 * moment of the answer and must take over the channel's handler: a first call may lie behind the hello in the same
 * chunk. The caller closes the channel when this throws.
 *
 * @throws {HandshakeError} when the other end is not furrow, refuses, or is not the target
 * @throws {TimeoutError} with stage "handshake" when it is silent
 */
export async function greet<T>(
  channel: Channel,
  hello: Hello,
  deadline: Deadline,
  take: (theirs: Hello) => T,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  channel.handler = {
    onMessage: (message) => {
      try {
        resolve(take(readAnswer(message, hello.target, channel.link.remote)));
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
  channel.sendControl(helloMessage(hello));
  channel.flush();
  return await deadline.race("handshake", promise);
}

function readAnswer(message: Message, target: string | null, remote: string): Hello {
  if (message[0] === Kind.refuse) {
    const [, refusal, text, uuid] = message;
    throw new RefusedError(refusal as string, text as string, typeof uuid === "string" ? uuid : undefined);
  }
  const theirs = readHello(message);
  if (target !== null && theirs.id.uuid !== target) {
    throw new HandshakeError(`${remote} is ${describeActor(theirs.id)}, not the actor that was looked up`);
  }
  return theirs;
}

export function refuseMessage(refusal: Refusal, text: string, uuid: string): Message {
  return [Kind.refuse, refusal, text, uuid];
}
