/** Dialling and error texts that both transports share. */
import { asError, systemCode, TransportClosedError } from "../errors.ts";
import type { Deadline } from "../deadline.ts";
import type { SocketLink } from "./socket.ts";
import { kernelPeer, socketHandlers } from "./socket.ts";

type Target = { readonly unix: string } | { readonly hostname: string; readonly port: number };

/** Codes that mean nothing listens there. Any other code may come from a peer in trouble. */
const absentCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ENOTFOUND",
]);

const refusals: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing is listening there",
  ENOENT: "no such socket",
  ENOTFOUND: "no such host",
  EACCES: "permission denied",
  EMFILE: "too many open files in this process",
};

/** Whether a dial failed because nothing listens at the address, rather than because the listener didn't answer. */
export function isAbsent(error: unknown): boolean {
  return error instanceof TransportClosedError && absentCodes.has(systemCode(error.cause));
}

/** What a dial over TLS adds to a plain one. */
export interface SecureDial {
  readonly tls: Bun.TLSOptions;
  readonly handlers: Omit<Bun.SocketHandler<SocketLink>, "open">;
  /** Resolves when the peer's certificate has been verified; rejects with the dial's error. */
  readonly verified: Promise<void>;
}

/**
 * One attempt to connect. `Bun.connect` has no signal or timeout option, so a link that opens too late is closed as it
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
    // only system errors are wrapped: an abort or a timeout passes through unchanged
    await deadline.race("dial", open());
  } catch (error) {
    link.abort();
    throw error;
  }
  return link;
}

/** The message for an error from listening. */
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
