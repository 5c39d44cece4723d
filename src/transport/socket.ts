/**
 * A `Link` over a Bun socket, shared by both transports.
 *
 * Bun's `write` is unbuffered and may be partial, and `end` loses bytes that the kernel hasn't sent. So the link has
 * its own send queue, which resumes on `drain`, and an orderly close: drain the queue, `shutdown`, wait for the
 * peer's end, `end`.
 */
import type { Socket, SocketHandler } from "bun";

import { timing } from "../deadline.ts";
import { asError, EncodeError, TransportClosedError } from "../errors.ts";
import { logger } from "../log.ts";
import { peerCredentials } from "./libc.ts";
import { isGone, type Piece, SendQueue } from "./send-queue.ts";
import type { Link, LinkEnd, LinkPeer, LinkReader } from "./transport.ts";

const log = logger("transport");

type BunSocket = Socket<SocketLink>;

/** Loaded by the first link that writes pieces of memory that lie apart. */
let gathering: typeof import("./gather.ts") | undefined;

const nobody: LinkReader = { onData() {}, onEnd() {} };

export class SocketLink implements Link {
  reader: LinkReader = nobody;
  readonly remote: string;
  readonly mayFallSilent: boolean;
  peer: LinkPeer | undefined;
  writes = 0;
  writtenBytes = 0;
  readBytes = 0;
  #socket: BunSocket | undefined;
  readonly #queue: SendQueue = new SendQueue();
  /** What has been written with the announcement that more follows. */
  #announced: (Piece & { readonly stable: boolean })[] = [];
  /** Set at the first sign of the end; reported to the reader once. */
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

  /** Whether its socket is a unix one, on Linux: others have no such peer. */
  get #gathers(): boolean {
    return this.peer?.kind === "unix";
  }

  get pendingBytes(): number {
    return this.#queue.bytes;
  }

  get localHost(): string {
    const local = this.#socket?.localAddress;
    return typeof local === "string" ? local : "";
  }

  get ends(): string {
    const socket = this.#socket;
    if (typeof socket?.localAddress !== "string") return "";
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    // a dual-stack listener sees ipv4 addresses in ipv6 form
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

  write(bytes: Uint8Array, start: number, end: number, stable: boolean, more = false): void {
    const socket = this.#socket;
    if (socket === undefined || this.#end !== undefined || this.#shut) return;
    if (more || this.#announced.length > 0) {
      if (end > start) this.#announced.push({ bytes, start, end, stable });
      if (!more) this.#writeAnnounced(socket);
    } else {
      this.#writeOne(socket, bytes, start, end, stable);
    }
  }

  #writeAnnounced(socket: BunSocket): void {
    const pieces = this.#announced;
    this.#announced = [];
    let taken = 0;
    if (this.#gathers && pieces.length > 1 && this.#queue.bytes === 0) {
      taken = this.#gather(socket, pieces);
      this.writtenBytes += taken;
    }
    for (const { bytes, start, end, stable } of pieces) {
      const from = Math.min(end, start + taken);
      taken -= from - start;
      // the socket has to refuse some itself to tell when it has room again
      this.#writeOne(socket, bytes, from, end, stable);
    }
  }

  /** Returns how many bytes of several pieces the kernel has taken at once. */
  #gather(socket: BunSocket, pieces: readonly Piece[]): number {
    gathering ??= require("./gather.ts") as typeof import("./gather.ts");
    this.writes++;
    return gathering.gather(fdOf(socket), pieces);
  }

  #writeOne(socket: BunSocket, bytes: Uint8Array, start: number, end: number, stable: boolean): void {
    // never write 0 bytes: the result would look like a full kernel buffer
    if (end === start) return;
    let from = start;
    if (this.#queue.bytes === 0) {
      this.writes++;
      const taken = socket.write(bytes, start, end - start);
      // the peer accepts no more; the close handler reports that once everything it sent has been read
      if (taken < 0) return;
      this.writtenBytes += taken;
      if (taken >= end - start) return;
      from += taken;
    }
    if (stable) this.#queue.push({ bytes, start: from, end });
    else this.#queue.push({ bytes: copyOf(bytes, from, end), start: 0, end: end - from });
  }

  async drained(): Promise<void> {
    if (this.#queue.bytes === 0 || this.#end !== undefined) return;
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

  /** Starts or restarts the timeout of an orderly close. */
  #boundClosing(): void {
    clearTimeout(this.#closeTimer);
    const { closeTimeoutMs } = timing;
    this.#closeTimer = setTimeout(() => {
      log.debug?.(
        `${this.remote}: close timed out after ${closeTimeoutMs} ms with ${this.#queue.bytes} B unsent`,
      );
      this.#finish({ kind: "closed" });
    }, closeTimeoutMs);
  }

  #shutdownWhenDrained(): void {
    if (this.#queue.bytes > 0 || this.#shut) return;
    this.#shut = true;
    if (this.#peerEnded) this.#finish({ kind: "closed" });
    else this.#socket?.shutdown();
  }

  /** The first end wins; the reader is notified once the socket is closed. */
  #finish(end: LinkEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    clearTimeout(this.#closeTimer);
    this.#queue.clear();
    this.#announced = [];
    const socket = this.#socket;
    this.#socket = undefined;
    if (end.kind === "failed") socket?.terminate();
    else socket?.end();
    this.#drained?.resolve();
    this.#closing?.resolve();
    // never from within the caller's own call: see LinkReader
    queueMicrotask(() => this.#tell());
  }

  #tell(): void {
    if (this.#told || this.#end === undefined) return;
    this.#told = true;
    this.reader.onEnd(this.#end);
  }

  /** Called by the socket handlers, as are the `on…` methods below. */
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
    this.readBytes += chunk.length;
    try {
      this.reader.onData(chunk);
    } catch (error) {
      // Bun would swallow the error and leave the socket open
      log.error?.(`${this.remote}: ${asError(error).stack}`);
      this.abort(asError(error));
    }
  }

  onDrain(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    for (;;) {
      if (this.#gathers && this.#gatherQueued(socket)) continue;
      const { first } = this.#queue;
      if (first === undefined) break;
      if (isGone(first)) {
        this.abort(new EncodeError("a binary value was transferred or resized before all of it was sent"));
        return;
      }
      // the socket has to refuse some itself to tell when it has room again
      const { bytes, start, end } = first;
      this.writes++;
      const taken = socket.write(bytes, start, end - start);
      if (taken < 0) {
        this.#queue.clear();
        break;
      }
      this.#tookQueued(taken);
      if (taken < end - start) return;
    }
    this.#drained?.resolve();
    this.#drained = undefined;
    if (this.#closing !== undefined) this.#shutdownWhenDrained();
  }

  /** Returns whether several pieces have left, all that there were. */
  #gatherQueued(socket: BunSocket): boolean {
    const pieces = this.#queue.head;
    if (pieces.length < 2) return false;
    const taken = this.#gather(socket, pieces);
    this.#tookQueued(taken);
    return taken === pieces.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  #tookQueued(bytes: number): void {
    if (bytes === 0) return;
    this.#queue.drop(bytes);
    this.writtenBytes += bytes;
    if (this.#closing !== undefined) this.#boundClosing();
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

/** The process at the other end of a unix socket; undefined where the kernel can't tell. */
export function kernelPeer(socket: BunSocket): LinkPeer | undefined {
  const credentials = peerCredentials(fdOf(socket));
  return credentials === undefined ? undefined : { kind: "unix", ...credentials };
}

/** Exists, but is missing from the types of Bun 1.4. */
function fdOf(socket: BunSocket): number {
  return (socket as unknown as { readonly fd: number }).fd;
}

/** Handlers for every furrow socket, on either side; the socket's `data` is its link. */
export const socketHandlers: Omit<SocketHandler<SocketLink>, "open"> = {
  // plain Uint8Arrays, so that binary values in messages are plain too; Bun's types allow only buffers
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
    // a handler threw; Bun would leave the socket open
    socket.data?.abort(asError(error));
  },
};
