/**
 * The least that a call can be: furrow's codec and frames over a raw Bun socket, one promise per call, one write per
 * turn, a function looked up by name. No checks, no tasks, no errors, no orderly end: furrow's own cost is what a call
 * takes beyond this.
 */
import { Batch, decode, FrameDecoder } from "../harness/internals.ts";
import type { RawTarget } from "../harness/row.ts";

const maxFrameBytes = 65_536;
const functions = new Map([["echo", (value: unknown): unknown => value]]);

/** One end of a connection: frames in, and frames out at the end of the turn. */
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

export class BareClient implements AsyncDisposable {
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
