/** TCP. */
import { AddressError } from "../errors.ts";
import { formatAddress, type ParsedTcpAddress } from "./address.ts";
import { isLastDescriptor } from "./descriptors.ts";
import { dial, listenFault } from "./dial.ts";
import { isLoopback } from "./host.ts";
import { SocketLink, socketHandlers } from "./socket.ts";
import type { TransportDriver } from "./transport.ts";

export const tcpTransport: TransportDriver<ParsedTcpAddress> = {
  transport: "tcp",

  async listen(address, onLink) {
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
      };
    } catch (error) {
      throw new AddressError(listenFault(where, error), { cause: error });
    }
  },

  async connect(address, deadline) {
    const link = new SocketLink(formatAddress(address), !isLoopback(address.host));
    // the wildcard address is where one listens; on this host it is reached at loopback
    const hostname = address.host === "0.0.0.0" ? "127.0.0.1" : address.host === "::" ? "::1" : address.host;
    return await dial(link, { hostname, port: address.port }, deadline);
  },
};
