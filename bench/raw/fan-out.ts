/** A raw socket that passes what one connection sends on to all others: the baseline of pushes. */
import type { RawTarget } from "../harness/row.ts";

/** About as many bytes as a pushed change has. */
export const pushBytes = 120;

/**
 * Serves at `unix`: each byte that a connection sends is a push of `pushBytes` to all others, a write each. A new connection
 * gets a byte.
 */
export function serveFanOut(unix: string): RawTarget & { close(): void } {
  const all = new Set<Bun.Socket>();
  const message = new Uint8Array(pushBytes).fill(0x78);
  const listener = Bun.listen({
    unix,
    socket: {
      open(socket) {
        all.add(socket);
        socket.write("x");
      },
      close: (socket) => void all.delete(socket),
      data(socket, chunk) {
        for (let push = 0; push < chunk.length; push++)
          for (const other of all) if (other !== socket) other.write(message);
      },
    },
  });
  return { unix, close: () => listener.stop(true) };
}

/** One that sends, and others that receive. */
export class FanOutClients implements AsyncDisposable {
  readonly #sockets: Bun.Socket[] = [];
  readonly #closed: Promise<void>[] = [];
  #awaited = 0;
  #arrived: () => void = () => {};

  static async connect(fanOut: RawTarget, receivers: number): Promise<FanOutClients> {
    const clients = new FanOutClients();
    for (let n = 0; n <= receivers; n++) {
      const closed = Promise.withResolvers<void>();
      const socket: Bun.SocketHandler = {
        data: (_, chunk) => clients.#onData(chunk.length),
        close: () => closed.resolve(),
      };
      // each is accepted before the next connects, or a busy server's backlog could be full
      const accepted = clients.#await(1);
      clients.#sockets.push(await Bun.connect({ ...fanOut, socket } as Bun.UnixSocketOptions<undefined>));
      clients.#closed.push(closed.promise);
      await accepted;
    }
    return clients;
  }

  /** Has one push made; resolves when all have it. */
  push(): Promise<void> {
    const arrived = this.#await((this.#sockets.length - 1) * pushBytes);
    this.#sockets[0]?.write("x");
    return arrived;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.end();
    await Promise.all(this.#closed);
  }

  #await(bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaited = bytes;
    this.#arrived = resolve;
    return promise;
  }

  #onData(length: number): void {
    this.#awaited -= length;
    if (this.#awaited === 0) this.#arrived();
  }
}
