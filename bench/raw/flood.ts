/** A raw socket that sends as many messages as it is asked for: the baseline of streams. */
import type { RawTarget } from "../harness/row.ts";

/** What is still to be sent on a connection. */
interface Flow {
  message: Uint8Array;
  /** Bytes already sent of the current message. */
  sent: number;
  messages: number;
}

/** Serves floods at `unix`; a request is the number of messages and their size in bytes, 32 bits each. */
export function serveFlood(unix: string): RawTarget & { close(): void } {
  const listener = Bun.listen<Flow>({
    unix,
    socket: {
      open(socket) {
        socket.data = { message: new Uint8Array(), sent: 0, messages: 0 };
      },
      data(socket, request) {
        const [messages, bytes] = [request.readUInt32LE(0), request.readUInt32LE(4)];
        socket.data = { message: new Uint8Array(bytes), sent: 0, messages };
        pour(socket);
      },
      drain: pour,
    },
  });
  return { unix, close: () => listener.stop(true) };
}

/** Makes one write per message until the kernel takes no more. */
function pour(socket: Bun.Socket<Flow>): void {
  const flow = socket.data;
  while (flow.messages > 0) {
    const rest = flow.message.length - flow.sent;
    const taken = socket.write(flow.message, flow.sent, rest);
    if (taken < rest) {
      flow.sent += Math.max(taken, 0);
      return;
    }
    flow.sent = 0;
    flow.messages--;
  }
}

/** The receiving end. */
export class FloodClient implements AsyncDisposable {
  readonly #closed = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  #awaited = 0;
  #arrived: () => void = () => {};

  static async connect(target: RawTarget): Promise<FloodClient> {
    const client = new FloodClient();
    const socket: Bun.SocketHandler = {
      data: (_, chunk) => client.#onData(chunk.length),
      close: () => client.#closed.resolve(),
    };
    client.#socket = await Bun.connect({ ...target, socket } as Bun.UnixSocketOptions<undefined>);
    return client;
  }

  /** Asks for messages and resolves when all their bytes have arrived. */
  receive(messages: number, bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaited = messages * bytes;
    this.#arrived = resolve;
    const request = Buffer.alloc(8);
    request.writeUInt32LE(messages, 0);
    request.writeUInt32LE(bytes, 4);
    this.#socket?.write(request);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.end();
    await this.#closed.promise;
  }

  #onData(length: number): void {
    this.#awaited -= length;
    if (this.#awaited === 0) this.#arrived();
  }
}
