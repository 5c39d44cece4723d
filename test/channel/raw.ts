/** A peer made of bytes: what it says is up to the test, and what it hears is kept. */
import { parseAddress } from "../../src/transport/address.ts";
import { decode } from "../../src/wire/decode.ts";
import { FrameDecoder } from "../../src/wire/frame.ts";
import { Kind, protocolVersion } from "../../src/wire/messages.ts";

export class RawPeer implements AsyncDisposable {
  readonly messages: unknown[] = [];
  readonly ended: Promise<void>;
  readonly #decoder = new FrameDecoder(1_000_000);
  readonly #ended = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;

  constructor() {
    this.ended = this.#ended.promise;
  }

  static async dial(address: string): Promise<RawPeer> {
    const peer = new RawPeer();
    const parsed = parseAddress(address);
    const where =
      parsed.transport === "unix" ? { unix: parsed.path } : { hostname: parsed.host, port: parsed.port };
    peer.#socket = await Bun.connect({
      ...where,
      allowHalfOpen: true,
      socket: peer.handlers,
    } as Bun.UnixSocketOptions<undefined>);
    return peer;
  }

  /** For a listener that plays a peer. */
  get handlers(): Bun.SocketHandler<undefined> {
    return {
      open: (socket) => void (this.#socket = socket),
      data: (_, chunk) => {
        this.#decoder.push(new Uint8Array(chunk), (source, start, end) => {
          return this.messages.push(decode(source, start, end)) > 0;
        });
        this.onMessage();
      },
      end: () => this.#ended.resolve(),
      close: () => this.#ended.resolve(),
    };
  }

  onMessage: () => void = () => {};

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  /** Says no more, and goes on listening. */
  leave(): void {
    this.#socket?.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.terminate();
    await this.ended;
  }
}

/** A well-formed hello, with some of its fields changed. */
export function hello(changes: Readonly<Record<number, unknown>> = {}): unknown[] {
  const addrs = ["tcp://192.0.2.1:1"];
  const message = [
    Kind.hello,
    protocolVersion,
    crypto.randomUUID(),
    "raw",
    "0123456789abcdef",
    process.pid,
    "peer",
    addrs,
    false,
    null,
    null,
    null,
  ];
  for (const [at, field] of Object.entries(changes)) message[Number(at)] = field as never;
  return message;
}
