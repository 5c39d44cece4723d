/**
 * What both transports share: a `Link` over a Bun socket.
 *
 * Bun's `write` is unbuffered and partial, and `end` loses what the kernel has not sent. So there is a send queue here,
 * which goes on at `drain`, and an orderly close: queue empty, `shutdown`, the peer's end awaited, `end`.
 */
import type { Socket, SocketHandler } from "bun";

import { timing } from "../deadline.ts";
import { asError, EncodeError, TransportClosedError } from "../errors.ts";
import { logger } from "../log.ts";
import { peerCredentials } from "./libc.ts";
import type { Link, LinkEnd, LinkPeer, LinkReader } from "./transport.ts";

const log = logger("transport");

type BunSocket = Socket<SocketLink>;

const nobody: LinkReader = { onData() {}, onEnd() {} };

export class SocketLink implements Link {
  reader: LinkReader = nobody;
  readonly remote: string;
  readonly mayFallSilent: boolean;
  peer: LinkPeer | undefined;
  writes = 0;
  #socket: BunSocket | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  /** Set from the first sign of the end on; told to the reader once. */
  #end: LinkEnd | undefined;
  #told = false;
  #peerEnded = false;
  #shut = false;
  #closing: PromiseWithResolvers<void> | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  #closeTimer: Timer | undefined;

  constructor(remote: string, mayFallSilent: boolean) {
    this.remote = remote;
    this.mayFallSilent = mayFallSilent;
  }

  get pendingBytes(): number {
    return this.#queuedBytes;
  }

  get localHost(): string {
    const local = this.#socket?.localAddress;
    return typeof local === "string" ? local : "";
  }

  get ends(): string {
    const socket = this.#socket;
    if (typeof socket?.localAddress !== "string") return "";
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    // a listener for both kinds of addresses sees ipv4 in the form of ipv6
    const ends = [`${localAddress} ${localPort}`, `${remoteAddress} ${remotePort}`];
    return ends
      .map((end) => end.replace(/^::ffff:/, ""))
      .sort()
      .join(" ");
  }

  loopbackUid(): number | undefined {
    const socket = this.#socket;
    if (socket === undefined || this.mayFallSilent || this.peer !== undefined) return undefined;
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    const { loopbackOwner } = require("./tcp-owner.ts") as typeof import("./tcp-owner.ts");
    return loopbackOwner({ host: remoteAddress, port: remotePort }, { host: localAddress, port: localPort });
  }

  write(bytes: Uint8Array, start: number, end: number, stable: boolean): void {
    const socket = this.#socket;
    // nothing to send is nothing to queue: a write of 0 bytes would look like a kernel that takes none
    if (socket === undefined || this.#end !== undefined || this.#shut || end === start) return;
    let from = start;
    if (this.#queue.length === 0) {
      this.writes++;
      const taken = socket.write(bytes, start, end - start);
      if (taken >= end - start) return;
      // the peer takes nothing any more; the close handler says so when all that it sent before has been read
      if (taken < 0) return;
      from += taken;
    }
    this.#queue.push(stable ? bytes.subarray(from, end) : copyOf(bytes, from, end));
    this.#queuedBytes += end - from;
  }

  async drained(): Promise<void> {
    if (this.#queuedBytes === 0 || this.#end !== undefined) return;
    this.#drained ??= Promise.withResolvers<void>();
    await this.#drained.promise;
  }

  async close(): Promise<void> {
    if (this.#end !== undefined || this.#socket === undefined) return;
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers<void>();
      this.#boundClosing();
      this.#shutdownWhenDrained();
    }
    await this.#closing.promise;
  }

  abort(error?: Error): void {
    this.#finish(error === undefined ? { kind: "closed" } : { kind: "failed", error });
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Begins the wait for a sign of the peer anew. */
  #boundClosing(): void {
    clearTimeout(this.#closeTimer);
    const { closeTimeoutMs } = timing;
    this.#closeTimer = setTimeout(() => {
      log.debug?.(`${this.remote}: ${this.#queuedBytes} B not taken, or no end, in ${closeTimeoutMs} ms`);
      this.#finish({ kind: "closed" });
    }, closeTimeoutMs);
  }

  #shutdownWhenDrained(): void {
    if (this.#queuedBytes > 0 || this.#shut) return;
    this.#shut = true;
    if (this.#peerEnded) this.#finish({ kind: "closed" });
    else this.#socket?.shutdown();
  }

  /** The first end wins; the reader hears of it once the socket is gone for good. */
  #finish(end: LinkEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    clearTimeout(this.#closeTimer);
    this.#queue = [];
    this.#queuedBytes = 0;
    const socket = this.#socket;
    this.#socket = undefined;
    if (end.kind === "failed") socket?.terminate();
    else socket?.end();
    this.#drained?.resolve();
    this.#closing?.resolve();
    // not from within the caller's own call: see LinkReader
    queueMicrotask(() => this.#tell());
  }

  #tell(): void {
    if (this.#told || this.#end === undefined) return;
    this.#told = true;
    this.reader.onEnd(this.#end);
  }

  /** The handlers' side. */
  onOpen(socket: BunSocket, peer?: LinkPeer): void {
    if (this.#end !== undefined) {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    this.peer = peer;
  }

  onData(chunk: Uint8Array): void {
    if (this.#end !== undefined) return;
    try {
      this.reader.onData(chunk);
    } catch (error) {
      // Bun would swallow it and leave the socket open
      log.error?.(`${this.remote}: ${asError(error).stack}`);
      this.abort(asError(error));
    }
  }

  onDrain(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    while (this.#queue.length > 0) {
      const next = this.#queue[0]!;
      // memory of the user's, which was transferred away or resized under the queue
      if (next.length === 0) {
        this.abort(new EncodeError("a binary value was transferred or resized before all of it was sent"));
        return;
      }
      this.writes++;
      const taken = socket.write(next);
      if (taken === 0) return;
      if (taken < 0) {
        this.#queue = [];
        this.#queuedBytes = 0;
        break;
      }
      this.#queuedBytes -= taken;
      if (this.#closing !== undefined) this.#boundClosing();
      if (taken < next.length) {
        this.#queue[0] = next.subarray(taken);
        return;
      }
      this.#queue.shift();
    }
    this.#drained?.resolve();
    this.#drained = undefined;
    if (this.#closing !== undefined) this.#shutdownWhenDrained();
  }

  onPeerEnd(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    if (this.#closing !== undefined) {
      if (this.#shut) this.#finish({ kind: "closed" });
      return;
    }
    this.#finish({ kind: "ended" });
  }

  onClosed(error: Error | undefined): void {
    this.#socket = undefined;
    if (this.#closing !== undefined) this.#finish({ kind: "closed" });
    else if (error === undefined) this.#finish({ kind: "ended" });
    else
      this.#finish({
        kind: "failed",
        error: new TransportClosedError(`${this.remote}: ${error.message}`, { cause: error }),
      });
  }
}

/** A real copy: the `slice` of a Buffer is a view of the same memory. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

/** Who is at the other end of a unix socket; undefined where the kernel doesn't tell. */
export function kernelPeer(socket: BunSocket): LinkPeer | undefined {
  // there, and not in the types of bun 1.4
  const { fd } = socket as unknown as { readonly fd: number };
  const credentials = peerCredentials(fd);
  return credentials === undefined ? undefined : { kind: "unix", ...credentials };
}

/** The handlers of every furrow socket, whichever side opened it; its `data` is the link. */
export const socketHandlers: Omit<SocketHandler<SocketLink>, "open"> = {
  // plain arrays, so that binary values in messages are plain too; Bun.listen's types only know of buffers
  binaryType: "uint8array",
  data(socket, chunk) {
    socket.data.onData(chunk);
  },
  drain(socket) {
    socket.data.onDrain();
  },
  end(socket) {
    socket.data.onPeerEnd();
  },
  close(socket, error) {
    // a socket that was refused in `open` never got a link
    socket.data?.onClosed(error);
  },
  error(socket, error) {
    // a handler threw, and Bun leaves the socket open
    socket.data?.abort(asError(error));
  },
};
