/**
 * The least that a call can be: furrow's codec and frames over a raw Bun socket, a promise for each call, one write for
 * each turn, a function by its name. No checks, no tasks, no errors, no end in order: what is above it is furrow's own.
 */
import { Batch } from "../src/wire/codec.ts";
import { decode } from "../src/wire/decode.ts";
import { FrameDecoder } from "../src/wire/frame.ts";
import { openEcho, inFlight, lanes, pingBytes, pingOperation } from "./echo.ts";
import { stackedContest } from "./client.ts";
import type { Operation } from "./harness.ts";
import type { RaceRow, RawTarget } from "./row.ts";

const maxFrameBytes = 65_536;
const text = "x".repeat(pingBytes);
const functions = new Map([["echo", (value: unknown): unknown => value]]);

/** One end of a connection: frames in, frames out at the end of the turn. */
class Wire {
  readonly #socket: Pick<Bun.Socket, "write">;
  readonly #decoder = new FrameDecoder(maxFrameBytes);
  readonly #batch = new Batch();
  readonly #onMessage: (message: readonly unknown[]) => void;
  #scheduled = false;

  constructor(socket: Pick<Bun.Socket, "write">, onMessage: (message: readonly unknown[]) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
  }

  receive(chunk: Uint8Array): void {
    this.#decoder.push(chunk, (bytes, start, end) => {
      this.#onMessage(decode(bytes, start, end) as readonly unknown[]);
      return true;
    });
  }

  send(message: readonly unknown[]): void {
    this.#batch.add(message, maxFrameBytes);
  }

  flushLater(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => process.nextTick(() => this.flush()));
  }

  flush(): void {
    this.#scheduled = false;
    this.#batch.drain((bytes, start, end) => void this.#socket.write(bytes, start, end - start));
  }
}

/** Serves calls at `unix`. */
export function serveBare(unix: string): RawTarget & { close(): void } {
  const listener = Bun.listen<Wire>({
    unix,
    socket: {
      binaryType: "uint8array",
      open(socket) {
        const wire = new Wire(socket, ([id, name, args]) => {
          wire.send([id, functions.get(name as string)?.((args as unknown[])[0])]);
        });
        socket.data = wire;
      },
      data({ data: wire }, chunk) {
        wire.receive(chunk);
        wire.flush();
      },
    },
  });
  return { unix, close: () => listener.stop(true) };
}

class BareClient implements AsyncDisposable {
  readonly #pending = new Map<number, (value: unknown) => void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #wire: Wire;
  readonly #socket: Bun.Socket;
  #lastId = 0;

  private constructor(socket: Bun.Socket) {
    this.#socket = socket;
    this.#wire = new Wire(socket, ([id, value]) => {
      this.#pending.get(id as number)?.(value);
      this.#pending.delete(id as number);
    });
  }

  static async connect(target: RawTarget): Promise<BareClient> {
    const made: { client?: BareClient } = {};
    const socket: Bun.SocketHandler = {
      binaryType: "uint8array",
      data: (_, chunk) => made.client?.receive(chunk),
      close: () => made.client?.onClose(),
    };
    made.client = new BareClient(
      await Bun.connect({ ...target, socket } as Bun.UnixSocketOptions<undefined>),
    );
    return made.client;
  }

  call(name: string, ...args: unknown[]): Promise<unknown> {
    const id = ++this.#lastId;
    this.#wire.send([id, name, args]);
    this.#wire.flushLater();
    return new Promise((resolve) => this.#pending.set(id, resolve));
  }

  receive(chunk: Uint8Array): void {
    this.#wire.receive(chunk);
  }

  onClose(): void {
    this.#closed.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.end();
    await this.#closed.promise;
  }
}

function bareRow(id: string, count: number | undefined): RaceRow {
  const operation = (call: () => Promise<unknown>): Operation =>
    count === undefined ? { run: call } : inFlight(call, count);
  return {
    kind: "race",
    id,
    transport: "unix",
    what: `the least that rpc.unix could be: the codec, a promise, one write for each turn${count === undefined ? "" : `; ${count} in flight`}`,
    baseline:
      count === undefined ? "echo.unix" : `echo.unix with ${count} in flight, a promise and a write for each`,
    ...(count === undefined ? {} : { ratioOf: "throughput", warmupFactor: 5 }),
    server: {},
    open: (scene) =>
      stackedContest(async (stack) => {
        if (scene.server === undefined) throw new Error("this row needs a server");
        const echo = stack.use(await openEcho(scene));
        const bare = stack.use(await BareClient.connect(scene.server.bare));
        const baseline = count === undefined ? pingOperation(echo) : inFlight(() => echo.ping(), count);
        return { subject: operation(() => bare.call("echo", text)), baseline };
      }),
  };
}

export const bareRows: readonly RaceRow[] = [bareRow("bare.unix", undefined), bareRow("bare.unix.64", lanes)];
