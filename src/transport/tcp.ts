/** TCP, plain or with TLS. */
import { AddressError } from "../errors.ts";
import { formatAddress, type ParsedTcpAddress } from "./address.ts";
import { dial, listenFault } from "./dial.ts";
import { isLastDescriptor } from "./descriptors.ts";
import { isLoopback } from "./host.ts";
import { SocketLink, socketHandlers } from "./socket.ts";
import type { TlsLimits, TlsListener } from "./tls-socket.ts";
import type { TlsIdentity } from "./tls.ts";
import type { Link, Listener, TransportDriver } from "./transport.ts";

/** A driver whose links use mutual TLS. */
export interface TlsDriver extends TransportDriver<ParsedTcpAddress> {
  /**
   * Uses `tls` for every later connection, inbound and outbound; open links keep what they have. A connection still
   * in a listener's backlog is reset, and its dialler has to try again.
   *
   * @throws {AddressError} when a listener can't use it; that listener keeps its previous identity
   */
  rotate(tls: TlsIdentity): Promise<void>;
}

/** Returns the driver for plain tcp, or with `tls` for mutual TLS; `limits` bound its unfinished handshakes. */
export function tcpDriver(tls: TlsIdentity, limits?: Partial<TlsLimits>): TlsDriver;
export function tcpDriver(tls?: TlsIdentity): TransportDriver<ParsedTcpAddress>;
export function tcpDriver(tls?: TlsIdentity, limits?: Partial<TlsLimits>): TransportDriver<ParsedTcpAddress> {
  return tls === undefined ? tcpTransport : tlsDriver(tls, limits);
}

export const tcpTransport: TransportDriver<ParsedTcpAddress> = {
  transport: "tcp",

  async listen(address, onLink) {
    return listenPlain(address, onLink);
  },

  async connect(address, deadline) {
    return await dial(linkTo(address), targetOf(address), deadline);
  },
};

function tlsDriver(tls: TlsIdentity, limits: Partial<TlsLimits> = {}): TlsDriver {
  let identity = tls;
  const listeners = new Set<TlsListener>();
  return {
    transport: "tcp",

    async listen(address, onLink) {
      const { defaultTlsLimits, listenTls } = await import("./tls-socket.ts");
      const bounds = { ...defaultTlsLimits, ...limits };
      const listener = listenTls(address, formatAddress(address), identity, bounds, onLink);
      listeners.add(listener);
      return {
        address: listener.address,
        close() {
          listeners.delete(listener);
          listener.close();
        },
        restore: () => listener.restore(),
      };
    },

    async connect(address, deadline) {
      const { secureDial } = await import("./tls-socket.ts");
      const link = linkTo(address);
      return await dial(link, targetOf(address), deadline, secureDial(link, identity));
    },

    async rotate(next) {
      for (const listener of listeners) listener.rotate(next);
      identity = next;
    },
  };
}

function linkTo(address: ParsedTcpAddress): SocketLink {
  return new SocketLink(formatAddress(address), !isLoopback(address.host));
}

function targetOf({ host, port }: ParsedTcpAddress): { hostname: string; port: number } {
  // a wildcard address is for listening; on this host its listener is reached at loopback
  const hostname = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return { hostname, port };
}

function listenPlain(address: ParsedTcpAddress, onLink: (link: Link) => void): Listener {
  const where = formatAddress(address);
  try {
    const listener = Bun.listen<SocketLink>({
      hostname: address.host,
      port: address.port,
      allowHalfOpen: true,
      socket: {
        ...socketHandlers,
        open(socket) {
          if (isLastDescriptor(socket)) return socket.terminate();
          const link = new SocketLink(
            `tcp peer ${socket.remoteAddress} on ${where}`,
            !isLoopback(socket.remoteAddress),
          );
          socket.data = link; // the `data` option would be shared by all sockets
          socket.setNoDelay(true);
          link.onOpen(socket);
          onLink(link);
        },
      },
    });
    return {
      address: { ...address, port: listener.port },
      close() {
        listener.stop();
      },
      restore: () => Promise.resolve("here"),
    };
  } catch (error) {
    throw new AddressError(listenFault(where, error), { cause: error });
  }
}
