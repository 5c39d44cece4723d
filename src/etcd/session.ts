/**
 * gRPC over one HTTP/2 connection to one etcd server: calls with one answer, and streams. No retries: `client.ts` decides
 * about those.
 *
 * A call that isn't answered in time ends the whole session. A frozen server accepts connections and requests all the same,
 * and whoever waits for it longer loses its lease.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { asError } from "../errors.ts";
import { frameOf, GrpcDecoder } from "./grpc-frame.ts";
import { ConnectionError, LateError, Status, StatusError } from "./status.ts";

/** PEM. */
export interface SessionTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Receives a stream's messages, and its end: undefined if the server ended it in order. */
export interface StreamReader {
  onMessage(message: Uint8Array): void;
  /** Some of a message has come. */
  onBytes?(): void;
  onEnd(error: Error | undefined): void;
}

/** A stream in both directions. */
export interface Stream {
  send(message: Uint8Array): void;
  /** No more messages from here. */
  finish(): void;
  /** Stops and resumes reading: messages wait at the server. */
  pause(): void;
  resume(): void;
  /** Ends it at once; the reader hears nothing more. */
  cancel(): void;
}

export interface CallBounds {
  /** How long the server may be silent. A large answer may take longer on its way. */
  readonly timeoutMs: number;
  /** How long all of it may take; default: as long as the answer comes. */
  readonly totalMs?: number | undefined;
  /** Whether a server that is silent for that long has failed. Default true; false if that says nothing of it. */
  readonly isFair?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * How many bytes the server may send ahead, on a stream and on the connection. The default of HTTP/2, 65,535, would make
 * pages wait for the network.
 */
const windowBytes = 4 * 1_048_576;

export class Session {
  readonly endpoint: string;
  /** Resolves when it's over. */
  readonly ended: Promise<void>;
  readonly #http: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #end: () => void;
  readonly #streams = new Set<(error: Error) => void>();
  #failure: ConnectionError | undefined;

  private constructor(endpoint: string, http: ClientHttp2Session, socket: Socket) {
    this.endpoint = endpoint;
    this.#http = http;
    this.#socket = socket;
    ({ promise: this.ended, resolve: this.#end } = Promise.withResolvers<void>());
    http.on("error", (error: Error) => this.destroy(error.message));
    http.on("goaway", (code: number) => this.destroy(`the server ended the connection (code ${code})`));
    http.on("close", () => this.destroy("the connection was closed"));
  }

  /** Connects to a server. @throws {ConnectionError} when that fails, or takes too long */
  static async connect(endpoint: string, tls: SessionTls | undefined, bounds: CallBounds): Promise<Session> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = dial(endpoint, tls);
    const http = connect(endpoint, {
      createConnection: () => socket,
      settings: { initialWindowSize: windowBytes, enablePush: false },
    });
    http.once("connect", () => resolve());
    http.once("error", reject);
    http.once("close", () => reject(new Error("the connection was closed")));
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${bounds.timeoutMs} ms`)),
      bounds.timeoutMs,
    );
    const onAbort = (): void => reject(bounds.signal?.reason);
    bounds.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      bounds.signal?.throwIfAborted();
      await promise;
      // the settings are for streams alone
      http.setLocalWindowSize(windowBytes);
      return new Session(endpoint, http, socket);
    } catch (error) {
      // it may still fail
      http.on("error", () => {});
      http.destroy();
      socket.destroy();
      if (bounds.signal?.aborted === true) throw error;
      throw new ConnectionError(`${endpoint}: ${asError(error).message}`, { cause: error });
    } finally {
      clearTimeout(timer);
      bounds.signal?.removeEventListener("abort", onAbort);
    }
  }

  get isOver(): boolean {
    return this.#failure !== undefined;
  }

  /**
   * Sends one message and returns the one that answers it.
   *
   * @throws {StatusError} when the server refuses
   * @throws {ConnectionError} when the session ends, also because the answer is late, or when that is late and not `isFair`
   * @throws the signal's reason
   */
  async call(
    path: string,
    message: Uint8Array,
    token: string | undefined,
    bounds: CallBounds,
  ): Promise<Uint8Array> {
    const { timeoutMs, totalMs = Number.POSITIVE_INFINITY, isFair = true, signal } = bounds;
    signal?.throwIfAborted();
    const until = performance.now() + totalMs;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    let answer: Uint8Array | undefined;
    const stream = this.open(path, token, {
      onMessage: (received) => (answer = received),
      onBytes: () => {
        clearTimeout(timer);
        timer = setTimeout(onLate, Math.max(0, Math.min(timeoutMs, until - performance.now())));
      },
      onEnd: (error) => {
        if (error !== undefined) reject(error);
        else if (answer === undefined)
          reject(new StatusError(Status.internal, "etcd answered without a message"));
        else resolve(answer);
      },
    });
    stream.send(message);
    stream.finish();
    const onLate = (): void => {
      const text = `no answer within ${Math.round(timeoutMs)} ms`;
      if (isFair) return this.destroy(text);
      stream.cancel();
      reject(new LateError(`${this.endpoint}: ${text}`));
    };
    let timer = setTimeout(onLate, Math.min(timeoutMs, totalMs));
    const onAbort = (): void => {
      stream.cancel();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Opens a stream. If the session is over, the reader hears of it in a later turn. */
  open(path: string, token: string | undefined, reader: StreamReader): Stream {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      queueMicrotask(() => reader.onEnd(failure));
      return deadStream;
    }
    const http = this.#http.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      // otherwise a server that is cut off from the others goes on answering from what it has
      hasleader: "true",
      ...(token === undefined ? {} : { token }),
    });
    return new GrpcStream(http, reader, this.#streams);
  }

  /** Ends the connection at once, and with it all calls and streams. */
  destroy(why: string): void {
    if (this.#failure !== undefined) return;
    const failure = (this.#failure = new ConnectionError(`${this.endpoint}: ${why}`));
    for (const end of this.#streams) end(failure);
    this.#http.destroy();
    // Bun's session only ends its half: one to a frozen server would stay, and keep the process alive
    this.#socket.destroy();
    this.#end();
  }
}

/** Opens the socket itself, to be able to close it: see `destroy`. */
function dial(endpoint: string, tls: SessionTls | undefined): Socket {
  const { protocol, hostname, port } = new URL(endpoint);
  const host = hostname.replace(/^\[|\]$/g, "");
  if (protocol === "http:") return connectTcp({ host, port: Number(port || 80) });
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ ...tls, ...servername, host, port: Number(port || 443), ALPNProtocols: ["h2"] });
}

const deadStream: Stream = { send() {}, finish() {}, pause() {}, resume() {}, cancel() {} };

class GrpcStream implements Stream {
  readonly #http: ClientHttp2Stream;
  readonly #reader: StreamReader;
  readonly #streams: Set<(error: Error) => void>;
  readonly #onSessionEnd = (error: Error): void => this.#end(error);
  #status: number | undefined;
  #message = "";
  #isOver = false;

  constructor(http: ClientHttp2Stream, reader: StreamReader, streams: Set<(error: Error) => void>) {
    this.#http = http;
    this.#reader = reader;
    this.#streams = streams;
    streams.add(this.#onSessionEnd);
    const decoder = new GrpcDecoder((message) => {
      if (!this.#isOver) reader.onMessage(message);
    });
    http.on("response", (headers) => this.#read(headers));
    http.on("trailers", (headers) => this.#read(headers));
    http.on("data", (chunk: Uint8Array) => {
      if (!this.#isOver) reader.onBytes?.();
      this.#take(() => decoder.push(chunk));
    });
    http.on("error", (error: Error) => this.#end(new ConnectionError(error.message, { cause: error })));
    http.on("close", () => this.#end(this.#outcome(decoder.isBroken)));
  }

  send(message: Uint8Array): void {
    if (!this.#isOver) this.#http.write(frameOf(message));
  }

  finish(): void {
    if (!this.#isOver) this.#http.end();
  }

  pause(): void {
    this.#http.pause();
  }

  resume(): void {
    this.#http.resume();
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#leave();
    this.#http.close(constants.NGHTTP2_CANCEL);
  }

  /** The status comes in the trailers, or in the headers if there is no message. */
  #read(headers: Record<string, unknown>): void {
    const { "grpc-status": status, "grpc-message": message, ":status": httpStatus } = headers;
    if (status !== undefined) this.#status = Number(status);
    else if (httpStatus !== undefined && Number(httpStatus) !== 200) {
      this.#status = Status.unavailable;
      this.#message = `HTTP status ${Number(httpStatus)}: not an etcd server?`;
    }
    if (typeof message === "string") this.#message = decodeMessage(message);
  }

  #outcome(isBroken: boolean): Error | undefined {
    if (this.#status === undefined || isBroken) return new ConnectionError("the stream was cut off");
    return this.#status === Status.ok ? undefined : new StatusError(this.#status, this.#message);
  }

  #take(read: () => void): void {
    try {
      read();
    } catch (error) {
      this.#http.close(constants.NGHTTP2_CANCEL);
      this.#end(asError(error));
    }
  }

  #end(error: Error | undefined): void {
    if (this.#isOver) return;
    this.#leave();
    this.#reader.onEnd(error);
  }

  #leave(): void {
    this.#isOver = true;
    this.#streams.delete(this.#onSessionEnd);
  }
}

/** gRPC encodes what isn't ASCII by percents. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
