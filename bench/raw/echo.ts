/** Raw Bun sockets that echo: the baseline of every row that crosses a socket. */
import { type RawTarget, type Scene, serverOf } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";

export const pingBytes = 32;
/** How many calls the rows called `.64` keep in flight. */
export const lanes = 64;
/** Calls per sample of an operation that keeps several in flight. */
const callsInFlightSample = 1_024;
/** Of each loop: with fewer, most of the time not all would be in flight. */
const leastCallsOfLane = 4;
/** How many pings may be in flight on one raw connection. */
const maxPings = 128;

/** Sends back what it receives. This is the baseline's server, in the process that also serves the subject. */
export function serveEcho(where: { readonly unix: string } | { readonly hostname: string }): RawTarget & {
  close(): void;
} {
  const socket: Bun.SocketHandler = {
    open: (connection) => void connection.setNoDelay(true),
    data: (connection, chunk) => void connection.write(chunk),
  };
  if ("unix" in where) {
    const listener = Bun.listen({ unix: where.unix, socket });
    return { unix: where.unix, close: () => listener.stop(true) };
  }
  const listener = Bun.listen({ hostname: where.hostname, port: 0, socket });
  return { hostname: where.hostname, port: listener.port, close: () => listener.stop(true) };
}

/** Pings over a raw socket: one promise and one write per ping, answered in order. */
export class EchoClient implements AsyncDisposable {
  readonly #message = new Uint8Array(pingBytes).fill(0x78);
  readonly #closed = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  /** Unanswered pings in the order they were sent; a ring, since shifting an array costs more than all the rest. */
  readonly #waiting: (() => void)[] = Array.from({ length: maxPings }, () => () => {});
  #sent = 0;
  #answered = 0;
  /** Bytes received of an answer that arrives in parts. */
  #rest = 0;

  static async connect(target: RawTarget): Promise<EchoClient> {
    const client = new EchoClient();
    const socket: Bun.SocketHandler = {
      data: (_, chunk) => client.#onData(chunk.length),
      close: () => client.#closed.resolve(),
    };
    client.#socket = await Bun.connect({ ...target, socket } as Bun.UnixSocketOptions<undefined>);
    client.#socket.setNoDelay(true);
    return client;
  }

  /** At most `maxPings` may be in flight. */
  ping(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting[this.#sent++ % maxPings] = resolve;
    this.#socket?.write(this.#message);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.end();
    await this.#closed.promise;
  }

  #onData(length: number): void {
    let bytes = this.#rest + length;
    for (; bytes >= pingBytes; bytes -= pingBytes) this.#waiting[this.#answered++ % maxPings]?.();
    this.#rest = bytes;
  }
}

/** Connects to the raw echo of the server process. */
export async function openEcho(scene: Scene): Promise<EchoClient> {
  return await EchoClient.connect(serverOf(scene).echo);
}

/** Sends one ping and waits for its answer. */
export function pingOperation(client: EchoClient): Operation {
  return { run: () => client.ping() };
}

/** Keeps `count` calls in flight: that many loops, each awaiting its call before it makes the next. */
export function inFlight(
  call: (lane: number) => Promise<unknown> | undefined,
  count: number = lanes,
): Operation {
  const callsInEachLane = Math.max(leastCallsOfLane, Math.ceil(callsInFlightSample / count));
  const runLane = async (_: unknown, lane: number): Promise<void> => {
    for (let made = 0; made < callsInEachLane; made++) await call(lane);
  };
  return { calls: callsInEachLane * count, run: () => Promise.all(Array.from({ length: count }, runLane)) };
}
