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

/** A driver whose links are mutual TLS. */
export interface TlsDriver extends TransportDriver<ParsedTcpAddress> {
  /**
   * Shows and trusts `tls` in every later connection, of those who dial us as of those that we dial; links that are
   * open stay as they are. A connection that a listener has not accepted at that moment is reset: its dialler has to
   * try again.
   *
   * @throws {AddressError} when a listener cannot use it; that one goes on with what it had
   */
  rotate(tls: TlsIdentity): Promise<void>;
}

/** The driver for plain tcp, or with `tls` for mutual TLS; `limits` bound what strangers may take of the latter. */
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
  // the wildcard address is where one listens; on this host it is reached at loopback
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
          socket.data = link; // the option of that name would be shared by all sockets
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
