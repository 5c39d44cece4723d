/** Raw Bun sockets: the baseline of every row that crosses one. */
import type { Transport } from "../src/index.ts";
import type { Operation } from "./harness.ts";
import type { RaceRow, RawTarget, Scene } from "./row.ts";

export const pingBytes = 32;
/** How many calls the rows named `.64` keep in flight. */
export const lanes = 64;
/** Calls in each sample of what is kept in flight. */
const callsInFlightSample = 1_024;
/** As many pings may be in flight on one raw connection. */
const maxPings = 128;

/** Sends back what it gets. The baseline's server, in the process that also serves the subject. */
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

/** A raw socket that pings: one promise and one write for each, answered in order. */
export class EchoClient implements AsyncDisposable {
  readonly #message = new Uint8Array(pingBytes).fill(0x78);
  readonly #closed = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  /** Who waits, in the order of asking; a ring, since shifting an array costs more than the rest. */
  readonly #waiting: (() => void)[] = Array.from({ length: maxPings }, () => () => {});
  #sent = 0;
  #answered = 0;
  /** Bytes of a ping that came in parts. */
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

  /** At most `maxPings` at once. */
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

/** The raw socket of the server process. */
export async function openEcho(scene: Scene): Promise<EchoClient> {
  if (scene.server === undefined) throw new Error("this row has no server to ping");
  return await EchoClient.connect(scene.server.echo);
}

/** One ping, one answer. */
export function pingOperation(client: EchoClient): Operation {
  return { run: () => client.ping() };
}

/** Keeps `count` calls in flight: as many loops, each of which awaits its call before the next. */
export function inFlight(
  call: (lane: number) => Promise<unknown> | undefined,
  count: number = lanes,
): Operation {
  const callsInEachLane = callsInFlightSample / count;
  const runLane = async (_: unknown, lane: number): Promise<void> => {
    for (let made = 0; made < callsInEachLane; made++) await call(lane);
  };
  return { calls: callsInFlightSample, run: () => Promise.all(Array.from({ length: count }, runLane)) };
}

function echoRow(transport: Transport): RaceRow {
  return {
    kind: "race",
    id: `echo.${transport}`,
    transport,
    what: `a raw Bun socket: ${pingBytes} bytes there and back`,
    baseline: `echo.${transport}, a second connection: the ratio is the noise`,
    server: {},
    async open(scene) {
      const stack = new AsyncDisposableStack();
      const one = stack.use(await openEcho(scene));
      const other = stack.use(await openEcho(scene));
      return {
        subject: pingOperation(one),
        baseline: pingOperation(other),
        [Symbol.asyncDispose]: () => stack.disposeAsync(),
      };
    },
  };
}

export const echoRows: readonly RaceRow[] = [echoRow("unix"), echoRow("tcp")];
