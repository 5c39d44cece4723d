/** What a registrar sees of an actor, and no more: a connection that says hello, registers and unregisters. */
import { type Address, parseAddress } from "../../src/index.ts";
import {
  Batch,
  decode,
  FrameDecoder,
  hostId,
  Kind,
  type Message,
  protocolVersion,
} from "../harness/internals.ts";

const maxFrameBytes = 65_536;

/** Its requests are encoded in advance, so this side costs no more than its socket. */
export class Registrant implements AsyncDisposable {
  readonly #register: Uint8Array;
  readonly #unregister: Uint8Array = encode([Kind.unregister, 1]);
  readonly #decoder = new FrameDecoder(maxFrameBytes);
  readonly #closed = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  #registered = false;
  /** Settles with the answer to the current request, which is one frame. */
  #answered: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  private constructor(addrs: readonly Address[]) {
    this.#register = encode([Kind.register, 1, addrs]);
  }

  /** Connects to the registrar at a unix address and registers there. */
  static async connect(registry: Address, name: string): Promise<Registrant> {
    const parsed = parseAddress(registry);
    if (parsed.transport !== "unix") throw new Error(`${registry} is not a unix address`);
    const addrs: Address[] = [`unix:///tmp/${name}.sock`];
    const registrant = new Registrant(addrs);
    const socket: Bun.SocketHandler = {
      data: (_, chunk) => registrant.#onData(chunk),
      close: () => registrant.#closed.resolve(),
    };
    registrant.#socket = await Bun.connect({ unix: parsed.path, socket } as Bun.UnixSocketOptions<undefined>);
    await registrant.#ask(encode(hello(name, addrs)));
    await registrant.change();
    return registrant;
  }

  /** Registers, or unregisters if it is registered. One call at a time. */
  change(): Promise<void> {
    this.#registered = !this.#registered;
    return this.#ask(this.#registered ? this.#register : this.#unregister);
  }

  #ask(frame: Uint8Array): Promise<void> {
    this.#answered = Promise.withResolvers<void>();
    this.#socket?.write(frame);
    return this.#answered.promise;
  }

  #onData(chunk: Uint8Array): void {
    this.#decoder.push(chunk, (source, start, end) => {
      const [kind] = decode(source, start, end) as Message;
      if (kind === Kind.result || kind === Kind.hello) this.#answered.resolve();
      else this.#answered.reject(new Error(`the registrar answered with a message of kind ${kind}`));
      return true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.end();
    await this.#closed.promise;
  }
}

/** The hello of an actor of this process that can be dialled at `addrs`. */
export function hello(name: string, addrs: readonly Address[]): Message {
  const uuid = crypto.randomUUID();
  return [
    Kind.hello,
    protocolVersion,
    uuid,
    name,
    hostId(),
    process.pid,
    "peer",
    addrs,
    false,
    null,
    null,
    null,
  ];
}

/** A message as one frame. */
export function encode(message: Message): Uint8Array {
  const batch = new Batch();
  batch.add(message, maxFrameBytes);
  const parts: Uint8Array[] = [];
  batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
  return new Uint8Array(Buffer.concat(parts));
}
