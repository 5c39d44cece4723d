/** A raw socket that receives large blocks and answers each with a few bytes: the baseline of shared memory. */
import type { RawTarget } from "../harness/row.ts";

export const blockBytes = 1_048_576;
const pageBytes = 4_096;
export const blockPages: number = blockBytes / pageBytes;
/** An answer is the sum of one byte of each page, 32 bits. */
const answerBytes = 4;

/** What has arrived of the current block. */
interface Progress {
  received: number;
  sum: number;
}

/** Serves blocks at `unix`. */
export function serveBlocks(unix: string): RawTarget & { close(): void } {
  const answer = Buffer.alloc(answerBytes);
  const listener = Bun.listen<Progress>({
    unix,
    socket: {
      open(socket) {
        socket.data = { received: 0, sum: 0 };
      },
      data(socket, chunk) {
        const progress = socket.data;
        const firstPage = (pageBytes - (progress.received % pageBytes)) % pageBytes;
        for (let at = firstPage; at < chunk.length; at += pageBytes) progress.sum += chunk[at]!;
        progress.received += chunk.length;
        if (progress.received < blockBytes) return;
        answer.writeUInt32LE(progress.sum);
        socket.write(answer);
        socket.data = { received: 0, sum: 0 };
      },
    },
  });
  return { unix, close: () => listener.stop(true) };
}

/** The sending end; one block at a time. */
export class BlockClient implements AsyncDisposable {
  readonly #closed = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  #block: Uint8Array = new Uint8Array();
  #sent = 0;
  #answered: (sum: number) => void = () => {};

  static async connect(target: RawTarget): Promise<BlockClient> {
    const client = new BlockClient();
    const socket: Bun.SocketHandler = {
      data: (_, chunk) => client.#answered(chunk.readUInt32LE(0)),
      drain: () => client.#pour(),
      close: () => client.#closed.resolve(),
    };
    client.#socket = await Bun.connect({ ...target, socket } as Bun.UnixSocketOptions<undefined>);
    return client;
  }

  /** Sends a block of `blockBytes` and resolves with the answer. */
  send(block: Uint8Array): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#answered = resolve;
    this.#block = block;
    this.#sent = 0;
    this.#pour();
    return promise;
  }

  #pour(): void {
    while (this.#sent < this.#block.length) {
      const taken = this.#socket!.write(this.#block, this.#sent, this.#block.length - this.#sent);
      if (taken <= 0) return;
      this.#sent += taken;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.end();
    await this.#closed.promise;
  }
}
