/** The part of dialling that both transports share. */
import { asError, systemCode, TransportClosedError } from "../errors.ts";
import type { Deadline } from "../deadline.ts";
import type { SocketLink } from "./socket.ts";
import { kernelPeer, socketHandlers } from "./socket.ts";

type Target = { readonly unix: string } | { readonly hostname: string; readonly port: number };

/** Codes that mean: nobody is there. Anything else may be a peer in trouble. */
const absentCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ENOTFOUND",
]);

const refusals: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ENOENT: "no such socket",
  ENOTFOUND: "no such host",
  EACCES: "permission denied",
  EMFILE: "too many open files in this process",
};

/** Whether a failed dial means that nobody listens at the address, as against one that does not answer. */
export function isAbsent(error: unknown): boolean {
  return error instanceof TransportClosedError && absentCodes.has(systemCode(error.cause));
}

/** What a dial over TLS adds to a plain one. */
export interface SecureDial {
  readonly tls: Bun.TLSOptions;
  readonly handlers: Omit<Bun.SocketHandler<SocketLink>, "open">;
  /** Resolves when the peer has proved who it is; rejects with the error of the dial. */
  readonly verified: Promise<void>;
}

/**
 * One attempt to connect. `Bun.connect` takes neither signal nor timeout: a link that comes too late is ended as it
 * opens.
 */
export async function dial(
  link: SocketLink,
  target: Target,
  deadline: Deadline,
  secure?: SecureDial,
): Promise<SocketLink> {
  const isUnix = "unix" in target;
  const options = {
    ...target,
    allowHalfOpen: true,
    data: link,
    ...(secure === undefined ? undefined : { tls: secure.tls }),
    socket: {
      ...(secure?.handlers ?? socketHandlers),
      open(socket) {
        link.onOpen(socket, isUnix ? kernelPeer(socket) : undefined);
      },
      connectError() {
        // the promise rejects with the same error
      },
    } satisfies Bun.SocketHandler<SocketLink>,
  };
  const open = async (): Promise<void> => {
    try {
      await Bun.connect<SocketLink>(options as Bun.UnixSocketOptions<SocketLink>);
    } catch (error) {
      const code = systemCode(error);
      const why = refusals[code] ?? asError(error).message;
      const text = `cannot connect to ${link.remote}: ${why}${code ? ` (${code})` : ""}`;
      throw new TransportClosedError(text, { cause: error });
    }
    // the socket is open before the handshake begins
    if (secure !== undefined) await secure.verified;
  };
  try {
    // only what the system says is wrapped: an abort and a timeout come out as themselves
    await deadline.race("dial", open());
  } catch (error) {
    link.abort();
    throw error;
  }
  return link;
}

/** A listening error as the user should read it. */
export function listenFault(where: string, error: unknown): string {
  const code = systemCode(error);
  const why: Record<string, string> = {
    EADDRINUSE: "address already in use",
    EADDRNOTAVAIL: "not an address of this host",
    EACCES: "permission denied",
    ENOENT: "no such directory or host",
  };
  return `cannot listen on ${where}: ${why[code] ?? asError(error).message}${code ? ` (${code})` : ""}`;
}
