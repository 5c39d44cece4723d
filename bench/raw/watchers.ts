/** What a registrar sees of actors that watch, and no more: connections that say hello and watch a pattern. */
import { type Address, parseAddress } from "../../src/index.ts";
import { FrameDecoder, Kind } from "../harness/internals.ts";
import { encode, hello } from "./registrant.ts";

const maxFrameBytes = 65_536;

/** Many watchers of one pattern, each with a connection of its own. Frames are counted, not decoded. */
export class Watchers implements AsyncDisposable {
  readonly #sockets: Bun.Socket[] = [];
  readonly #closed: Promise<void>[] = [];
  #awaited = 0;
  #arrived: () => void = () => {};

  /** Connects them one after the other; each is watching before the next connects. */
  static async connect(registry: Address, pattern: string, count: number): Promise<Watchers> {
    const parsed = parseAddress(registry);
    if (parsed.transport !== "unix") throw new Error(`${registry} is not a unix address`);
    const watchers = new Watchers();
    for (let n = 0; n < count; n++) {
      const closed = Promise.withResolvers<void>();
      const decoder = new FrameDecoder(maxFrameBytes);
      const socket: Bun.SocketHandler = {
        data: (_, chunk) => void decoder.push(chunk, watchers.#onFrame),
        close: () => closed.resolve(),
      };
      const opened = await Bun.connect({ unix: parsed.path, socket } as Bun.UnixSocketOptions<undefined>);
      watchers.#sockets.push(opened);
      watchers.#closed.push(closed.promise);
      // its hello, and the state
      const ready = watchers.#await(2);
      opened.write(encode(hello(`watcher-${n}`, [])));
      opened.write(encode([Kind.watch, 1, pattern]));
      await ready;
    }
    return watchers;
  }

  /** Resolves when each has got one more message than now. */
  next(): Promise<void> {
    return this.#await(this.#sockets.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.end();
    await Promise.all(this.#closed);
  }

  #await(frames: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaited = frames;
    this.#arrived = resolve;
    return promise;
  }

  readonly #onFrame = (): boolean => {
    if (--this.#awaited === 0) this.#arrived();
    return true;
  };
}
