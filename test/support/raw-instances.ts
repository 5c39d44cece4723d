/** A scripted registrar with scripted instances of one name, for a service under test. */
import type { Address } from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { rawHello, RawListener, type RawMessage, type RawPeer, RawRegistrar } from "./raw-peer.ts";
import { until } from "./world.ts";

/** What changes of the registration of an instance; see `Details`. */
interface RawDetails {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly state?: "ready" | "draining";
}

/** An instance that says hello, and leaves the rest to the test. */
export class RawInstance implements AsyncDisposable {
  readonly uuid: string = crypto.randomUUID();
  readonly addr: Address;
  /** While false, its hello is held back, as that of a process that is stopped. */
  isAwake = true;
  readonly #listener: RawListener;

  constructor(name: string) {
    this.#listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      await until(() => this.isAwake);
      peer.send(rawHello({ name, uuid: this.uuid, addrs: [this.addr] }));
    });
    this.addr = this.#listener.addr;
  }

  /** The connections so far. */
  get peers(): readonly RawPeer[] {
    return this.#listener.peers;
  }

  /** The connection that was opened last; waits for the first. */
  async peer(): Promise<RawPeer> {
    await until(() => this.peers.length > 0);
    return this.peers.at(-1)!;
  }

  /** The next call, stream or dialog that it gets. */
  async take(kind: number = Kind.call): Promise<RawMessage> {
    return await (await this.peer()).take(kind);
  }

  /** The functions that it was asked to run, over all connections. */
  get asked(): string[] {
    const requests: unknown[] = [Kind.call, Kind.stream, Kind.open];
    return this.peers.flatMap(({ received }) =>
      received.filter(([kind]) => requests.includes(kind)).map(([, , fn]) => String(fn)),
    );
  }

  /** Answers each call with its own uuid from now on. */
  async answerAll(): Promise<void> {
    const peer = await this.peer();
    while (peer.isOpen) {
      const [, id] = await peer.take(Kind.call);
      peer.send([Kind.result, id, this.uuid]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener[Symbol.asyncDispose]();
  }
}

/** The registrar. It tells its watchers what the test says. */
export class RawDirectory implements AsyncDisposable {
  readonly registrar: RawRegistrar = new RawRegistrar();
  readonly #name: string;
  readonly #all = new Map<string, readonly [name: string, form: unknown[]]>();
  readonly #watches: [peer: RawPeer, id: unknown][] = [];
  #revision = 0;

  constructor(name: string) {
    this.#name = name;
    this.registrar.onWatch = (peer, [kind, id]) => {
      if (kind !== Kind.watch) return;
      this.#watches.push([peer, id]);
      peer.send([Kind.result, id, [this.#revision, Array.from(this.#all.values())]]);
    };
  }

  /** Registers the instance, or changes what is registered of it. */
  put(instance: RawInstance, details: RawDetails = {}): void {
    const entry = this.#entry(instance, details);
    const type = this.#all.has(instance.uuid) ? 1 : 0;
    this.#all.set(instance.uuid, entry);
    this.#push(type, entry);
  }

  remove(instance: RawInstance): void {
    const [name] = this.#all.get(instance.uuid)!;
    this.#all.delete(instance.uuid);
    const [, form] = this.#entry(instance, {});
    this.#push(2, [name, form]);
  }

  #entry({ uuid, addr }: RawInstance, { metadata = {}, state = "ready" }: RawDetails): [string, unknown[]] {
    const details = [null, metadata, null, 0, [["fn", "run"]], state];
    return [this.#name, [uuid, process.pid, hostId(), [addr], ++this.#revision, details]];
  }

  #push(type: number, [name, form]: readonly [string, unknown[]]): void {
    for (const [peer, id] of this.#watches) if (peer.isOpen) peer.send([Kind.change, id, type, name, form]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registrar[Symbol.asyncDispose]();
  }
}
