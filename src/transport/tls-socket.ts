/**
 * Links over TLS: version 1.3 only, with certificates from both ends.
 *
 * A link is handed out once this end has verified the other; until then nothing is read from it or written to it. The
 * dialler finishes first: it learns that the listener accepted *its* certificate only from the first byte that comes
 * back.
 */
import type { SocketHandler } from "bun";

import { AddressError, TransportClosedError } from "../errors.ts";
import { logger } from "../log.ts";
import type { ParsedTcpAddress } from "./address.ts";
import { type SecureDial, listenFault } from "./dial.ts";
import { isLastDescriptor } from "./descriptors.ts";
import { isLoopback } from "./host.ts";
import { SocketLink, socketHandlers } from "./socket.ts";
import { endedEarly, faultOf, judge, tlsName, tlsProtocol } from "./tls-peer.ts";
import type { TlsIdentity } from "./tls.ts";
import type { Link, Listener } from "./transport.ts";

const log = logger("transport");

/** Bounds on what strangers can cost a listener before they have shown a certificate. */
export interface TlsLimits {
  /** From accepting the connection to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
  /** Handshakes in flight; beyond that the oldest is dropped. More than a listener's full backlog, 512. */
  readonly maxHandshakes: number;
}

export const defaultTlsLimits: TlsLimits = { handshakeTimeoutMs: 5_000, maxHandshakes: 1_024 };

// BoringSSL's flags: disable TLS 1.0, 1.2 and 1.1
const onlyTls13 = 0x0400_0000 | 0x0800_0000 | 0x1000_0000;
// a resumed session would outlive the certificate it started with
const noTickets = 0x4000;

function optionsOf({ cert, key, ca }: TlsIdentity): Bun.TLSOptions {
  return {
    cert,
    key,
    ca,
    serverName: tlsName,
    requestCert: true,
    rejectUnauthorized: true,
    // wire format: Bun ignores anything else
    ALPNProtocols: Buffer.from(`${String.fromCharCode(tlsProtocol.length)}${tlsProtocol}`),
    secureOptions: onlyTls13 | noTickets,
  };
}

/** A listener whose certificate can be changed. */
export interface TlsListener extends Listener {
  /** Uses `identity` for connections from now on; open links keep what they have. */
  rotate(identity: TlsIdentity): void;
}

/** @throws {AddressError} as `TransportDriver.listen` */
export function listenTls(
  address: ParsedTcpAddress,
  where: string,
  identity: TlsIdentity,
  limits: TlsLimits,
  onLink: (link: Link) => void,
): TlsListener {
  const handlers = acceptor(where, limits, onLink);
  const bind = (port: number, shown: TlsIdentity): Bun.TCPSocketListener<SocketLink> => {
    try {
      return Bun.listen<SocketLink>({
        hostname: address.host,
        port,
        allowHalfOpen: true,
        tls: optionsOf(shown),
        socket: handlers,
      });
    } catch (error) {
      throw new AddressError(listenFault(where, error), { cause: error });
    }
  };
  let current = identity;
  let listener = bind(address.port, current);
  const { port } = listener;
  let isOpen = true;
  return {
    address: { ...address, port },
    rotate(next) {
      if (!isOpen) return;
      // Bun's `reload` doesn't change the certificate
      listener.stop();
      try {
        listener = bind(port, next);
        current = next;
      } catch (error) {
        listener = bind(port, current);
        throw error;
      }
    },
    close() {
      isOpen = false;
      listener.stop();
    },
    restore: () => Promise.resolve("here"),
  };
}

/** The handlers of a listener; they keep unfinished handshakes within `limits`. */
function acceptor(where: string, limits: TlsLimits, onLink: (link: Link) => void): SocketHandler<SocketLink> {
  const strangers = new Map<SocketLink, Timer>();
  const refuse = (link: SocketLink, why: string): void => {
    log.warn?.(`${link.remote}: refused in the TLS handshake: ${why}`);
    link.abort(new TransportClosedError(`${link.remote}: ${why}`));
  };
  const forget = (link: SocketLink): void => {
    clearTimeout(strangers.get(link));
    strangers.delete(link);
  };
  return {
    ...tlsHandlers,
    open(socket) {
      if (isLastDescriptor(socket)) return socket.terminate();
      const remote = socket.remoteAddress;
      const link = new SocketLink(`tcp peer ${remote} on ${where}`, !isLoopback(remote));
      socket.data = link; // the `data` option would be shared by all sockets
      socket.setNoDelay(true);
      link.onOpen(socket);
      const [oldest] = strangers.keys();
      if (strangers.size >= limits.maxHandshakes && oldest !== undefined) {
        forget(oldest);
        refuse(oldest, `more than ${limits.maxHandshakes} handshakes in flight`);
      }
      const timer = setTimeout(() => {
        forget(link);
        refuse(link, `not done within ${limits.handshakeTimeoutMs} ms`);
      }, limits.handshakeTimeoutMs);
      strangers.set(link, timer);
    },
    handshake(socket, isDone, error) {
      const link = socket.data;
      if (!strangers.has(link)) return;
      forget(link);
      const verdict = judge(socket, isDone, error);
      if (verdict.kind === "refused") {
        refuse(link, verdict.why);
        return;
      }
      link.peer = { kind: "tls", subject: verdict.subject };
      onLink(link);
    },
    close(socket, error) {
      // a socket that was refused in `open` never got a link
      if (socket.data === undefined) return;
      forget(socket.data);
      socket.data.onClosed(error);
    },
  };
}

/** What the dial of `link` needs in order to verify the listener. */
export function secureDial(link: SocketLink, identity: TlsIdentity): SecureDial {
  const verified = Promise.withResolvers<void>();
  // an abandoned dial no longer awaits it
  verified.promise.catch(() => {});
  const refuse = (why: string, cause: unknown): void => {
    const error = new TransportClosedError(`cannot connect to ${link.remote} over TLS: ${why}`, { cause });
    verified.reject(error);
    link.abort(error);
  };
  let hasHeard = false;
  return {
    tls: optionsOf(identity),
    verified: verified.promise,
    handlers: {
      ...tlsHandlers,
      data(_socket, chunk) {
        hasHeard = true;
        link.onData(chunk);
      },
      handshake(socket, isDone, error) {
        if (link.peer !== undefined) return;
        const verdict = judge(socket, isDone, error);
        if (verdict.kind === "refused") {
          // synchronously in this handler, so that our certificate isn't sent
          refuse(verdict.why, error ?? undefined);
          return;
        }
        link.peer = { kind: "tls", subject: verdict.subject };
        verified.resolve();
      },
      close(_socket, error) {
        if (link.peer === undefined) refuse(endedEarly, error);
        else if (error !== undefined && !hasHeard) link.onClosed(unheard(error));
        else link.onClosed(error);
      },
    },
  };
}

/** A listener that rejects our certificate doesn't say so: it resets the connection. */
function unheard(error: Error): Error {
  const text = "it reset the connection before its first byte: it may not accept our certificate";
  return new Error(`${text} (${error.message})`, { cause: error });
}

const tlsHandlers: Omit<SocketHandler<SocketLink>, "open"> = {
  ...socketHandlers,
  error(socket, error) {
    // an alert from the peer, or a record that can't be decrypted: the session is over
    const link = socket.data;
    const text = `${link.remote}: ${faultOf(socket, error)}`;
    link.abort(new TransportClosedError(text, { cause: error }));
  },
};
