/** What a server sees of its peers, and no more: connections that say hello, ask for one thing, and count what arrives. */
import { type Address, parseAddress } from "../../src/index.ts";
import { FrameDecoder, type Message } from "../harness/internals.ts";
import { encode, hello } from "./registrant.ts";

/** The answer to the request may list very many actors. */
const maxFrameBytes = 67_108_864;

/** Many peers that each ask the same, such as to watch a pattern. Frames are counted, not decoded. */
export class Followers implements AsyncDisposable {
  readonly #sockets: Bun.Socket[] = [];
  readonly #closed: Promise<void>[] = [];
  #awaited = 0;
  #arrived: () => void = () => {};

  /** Connects them one after the other; each has its answer, one frame, before the next connects. */
  static async connect(server: Address, request: Message, count: number): Promise<Followers> {
    const parsed = parseAddress(server);
    if (parsed.transport !== "unix") throw new Error(`${server} is not a unix address`);
    const followers = new Followers();
    for (let n = 0; n < count; n++) {
      const closed = Promise.withResolvers<void>();
      const decoder = new FrameDecoder(maxFrameBytes);
      const socket: Bun.SocketHandler = {
        data: (_, chunk) => void decoder.push(chunk, followers.#onFrame),
        close: () => closed.resolve(),
      };
      const opened = await Bun.connect({ unix: parsed.path, socket } as Bun.UnixSocketOptions<undefined>);
      followers.#sockets.push(opened);
      followers.#closed.push(closed.promise);
      // its hello, and the answer
      const ready = followers.#await(2);
      opened.write(encode(hello(`follower-${n}`, [])));
      opened.write(encode(request));
      await ready;
    }
    return followers;
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
