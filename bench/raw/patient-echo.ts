/** A raw echo that waits where the kernel takes no more: the baseline of large frames, and of very many calls in flight. */
import type { RawTarget } from "../harness/row.ts";

/** Writes what is given in order; the kernel takes a part, and the rest when it has room. */
class Outlet {
  readonly #waiting: Uint8Array[] = [];
  #first = 0;

  /** `bytes` are copied if they have to wait. */
  write(socket: Bun.Socket<Outlet>, bytes: Uint8Array): void {
    const taken = this.#first < this.#waiting.length ? 0 : Math.max(socket.write(bytes), 0);
    if (taken < bytes.length) this.#waiting.push(bytes.slice(taken));
  }

  drain(socket: Bun.Socket<Outlet>): void {
    for (; this.#first < this.#waiting.length; this.#first++) {
      const bytes = this.#waiting[this.#first]!;
      const taken = Math.max(socket.write(bytes), 0);
      if (taken < bytes.length) {
        this.#waiting[this.#first] = bytes.subarray(taken);
        return;
      }
    }
    this.#waiting.length = 0;
    this.#first = 0;
  }
}

/** Serves at `unix`: sends back what it receives. */
export function servePatientEcho(unix: string): RawTarget & { close(): void } {
  const listener = Bun.listen<Outlet>({
    unix,
    socket: {
      open: (socket) => void (socket.data = new Outlet()),
      data: (socket, chunk) => socket.data.write(socket, chunk),
      drain: (socket) => socket.data.drain(socket),
    },
  });
  return { unix, close: () => listener.stop(true) };
}

/** Sends messages of one size; each promise resolves when its message is back. */
export class PatientEchoClient implements AsyncDisposable {
  readonly #message: Uint8Array;
  readonly #closed = Promise.withResolvers<void>();
  #socket: Bun.Socket<Outlet> | undefined;
  /** Of the messages that are out, in a ring; so many may be out. */
  readonly #waiting: (() => void)[];
  #sent = 0;
  #answered = 0;
  /** Bytes received of a message that isn't back as a whole. */
  #rest = 0;

  private constructor(bytes: number, most: number) {
    this.#message = new Uint8Array(bytes).fill(0x78);
    this.#waiting = Array.from({ length: most }, () => () => {});
  }

  /** At most `most` messages of `bytes` may be out at once. */
  static async connect(target: RawTarget, bytes: number, most: number): Promise<PatientEchoClient> {
    const client = new PatientEchoClient(bytes, most);
    const socket: Bun.SocketHandler<Outlet> = {
      data: (_, chunk) => client.#onData(chunk.length),
      drain: (opened) => opened.data.drain(opened),
      close: () => client.#closed.resolve(),
    };
    client.#socket = await Bun.connect<Outlet>({
      ...target,
      data: new Outlet(),
      socket,
    } as Bun.UnixSocketOptions<Outlet>);
    return client;
  }

  ping(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting[this.#sent++ % this.#waiting.length] = resolve;
    const socket = this.#socket!;
    socket.data.write(socket, this.#message);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.end();
    await this.#closed.promise;
  }

  #onData(length: number): void {
    const { length: bytes } = this.#message;
    this.#rest += length;
    for (; this.#rest >= bytes; this.#rest -= bytes)
      this.#waiting[this.#answered++ % this.#waiting.length]!();
  }
}
