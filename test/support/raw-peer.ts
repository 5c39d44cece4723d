/**
 * A scripted peer: it speaks the protocol over a plain socket and can send what no actor would. Each call of `send`
 * is one write.
 */
import { join } from "node:path";

import type { Address } from "../../src/index.ts";
import type { Hello } from "../../src/channel/handshake.ts";
import { connectionKey, diallerProof, knockProof, newNonce } from "../../src/channel/proof.ts";
import { hostId } from "../../src/transport/host.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { readSecret } from "../../src/transport/secret.ts";
import type { TlsIdentity } from "../../src/transport/tls.ts";
import { Batch } from "../../src/wire/codec.ts";
import { decode } from "../../src/wire/decode.ts";
import { FrameDecoder } from "../../src/wire/frame.ts";
import { Kind, protocolVersion } from "../../src/wire/messages.ts";

/** A message as it crosses the wire, well-formed or not. */
export type RawMessage = readonly [kind: number, ...fields: unknown[]];

/** The identity that a scripted peer claims. */
export interface RawIdentity {
  readonly name?: string;
  readonly uuid?: string;
  readonly host?: string;
  readonly version?: number;
  readonly addrs?: readonly Address[];
  readonly isRegistrar?: boolean;
  readonly target?: string;
  readonly pid?: number;
  readonly purpose?: string;
}

export function rawHello(identity: RawIdentity): RawMessage {
  const { name = "raw", uuid = crypto.randomUUID(), host = hostId(), version = protocolVersion } = identity;
  const { addrs = [], isRegistrar = false, target = null, pid = process.pid, purpose = "peer" } = identity;
  return [Kind.hello, version, uuid, name, host, pid, purpose, addrs, isRegistrar, target, null, null];
}

/** A well-formed hello from another host, with the fields at some places changed. */
export function helloWith(changes: Readonly<Record<number, unknown>> = {}): RawMessage {
  const message = rawHello({ host: "0123456789abcdef", addrs: ["tcp://192.0.2.1:1"] });
  const fields = message.map((field, at) => (at in changes ? changes[at] : field));
  return fields as unknown as RawMessage;
}

export class RawPeer implements AsyncDisposable {
  /** All that arrived, in order. */
  readonly received: RawMessage[] = [];
  /** What was sent, a write each. */
  readonly sent: Uint8Array[] = [];
  /** Resolves when either side has ended the connection. */
  readonly ended: Promise<void>;
  isOpen = true;
  readonly #ended = Promise.withResolvers<void>();
  readonly #decoder = new FrameDecoder(1 << 28);
  #socket: Bun.Socket<RawPeer> | undefined;
  #taken = 0;
  readonly #unsent: Uint8Array[] = [];
  #arrived = Promise.withResolvers<void>();

  constructor() {
    this.ended = this.#ended.promise;
  }

  /** Connects, and sends a hello if an identity is given. */
  static async connect(addr: Address, identity?: RawIdentity, tls?: TlsIdentity): Promise<RawPeer> {
    const peer = new RawPeer();
    await peer.dial(addr, identity, tls);
    return peer;
  }

  /** Connects to a registrar and registers there. */
  static async register(addr: Address, identity: RawIdentity): Promise<RawPeer> {
    const peer = await RawPeer.connect(addr, identity);
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, identity.addrs ?? []]);
    await peer.take(Kind.result);
    return peer;
  }

  /** Like `connect`, for an existing peer. Over plain tcp it sends its proof after `beforeProof`. */
  async dial(
    addr: Address,
    identity?: RawIdentity,
    tls?: TlsIdentity,
    beforeProof?: Promise<unknown>,
  ): Promise<void> {
    const parsed = parseAddress(addr);
    const secured = Promise.withResolvers<void>();
    const socket = {
      ...rawHandlers,
      open: (opened: Bun.Socket<RawPeer>) => this.attach(opened),
      handshake: () => secured.resolve(),
    };
    await (parsed.transport === "unix"
      ? Bun.connect<RawPeer>({ unix: parsed.path, data: this, socket })
      : Bun.connect<RawPeer>({
          hostname: parsed.host,
          port: parsed.port,
          data: this,
          socket,
          ...(tls && { tls: { ...tls, serverName: "furrow", ALPNProtocols: Buffer.from("\x08furrow/1") } }),
        }));
    if (tls !== undefined) await secured.promise;
    if (identity === undefined) return;
    const hello = rawHello(identity);
    if (parsed.transport === "tcp" && tls === undefined) await this.#prove(hello, beforeProof);
    else this.send(hello);
  }

  /** Says what a hello says over plain tcp: with a knock, and then the proof. */
  async #prove(hello: RawMessage, beforeProof?: Promise<unknown>): Promise<void> {
    const [, version, uuid, name, host, pid, purpose, addrs, isRegistrar, target] = hello;
    const { localAddress, localPort, remoteAddress, remotePort } = this.#socket!;
    const ends = [`${localAddress} ${localPort}`, `${remoteAddress} ${remotePort}`].sort().join(" ");
    const key = connectionKey(readSecret(undefined).key, ends);
    const said = {
      id: { uuid, name, host, pid },
      addrs,
      isRegistrar,
      purpose,
      target,
    } as Hello;
    const nonce = newNonce();
    const knock = { uuid: said.id.uuid, purpose: said.purpose, target: said.target };
    const proof = knockProof(key, nonce, knock);
    this.send([Kind.hello, version, uuid, "", "", 0, purpose, [], false, target, nonce, proof]);
    const answer = await this.take();
    // keep this message available to `next` too
    this.#taken--;
    await beforeProof;
    if (answer[0] !== Kind.hello) return;
    const theirs = {
      id: { uuid: answer[2], name: answer[3], host: answer[4], pid: answer[5] },
      purpose: answer[6],
      addrs: answer[7],
      isRegistrar: answer[8],
      target: null,
    } as Hello;
    const nonces = { dialler: nonce, acceptor: answer[10] as Uint8Array };
    const mine = diallerProof(key, { nonces, dialler: said, acceptor: theirs });
    this.send([Kind.prove, mine, name, host, pid, addrs, isRegistrar]);
  }

  attach(socket: Bun.Socket<RawPeer>): void {
    this.#socket = socket;
  }

  /** The ports of a tcp connection, the own one first. */
  get ports(): readonly [number, number] {
    return [this.#socket!.localPort, this.#socket!.remotePort];
  }

  /** Sends the messages in one write. */
  send(...messages: RawMessage[]): void {
    const batch = new Batch();
    for (const message of messages) batch.add(message, 1 << 28);
    const parts: Uint8Array[] = [];
    batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
    this.sendBytes(Buffer.concat(parts));
  }

  sendBytes(bytes: Uint8Array): void {
    this.sent.push(bytes);
    const taken = this.#socket?.write(bytes);
    if (taken !== bytes.length) throw new Error(`${String(taken)} of ${bytes.length} B were written`);
  }

  /** As `send`, for more than the kernel takes at once. */
  sendAll(...messages: RawMessage[]): void {
    const batch = new Batch();
    for (const message of messages) batch.add(message, 1 << 28);
    // a real copy: the slice of a Buffer is a view
    batch.drain((bytes, start, end) => this.#unsent.push(new Uint8Array(bytes.subarray(start, end))));
    this.onDrain();
  }

  /** Like `sendBytes`, for more than the kernel accepts at once. */
  sendRaw(bytes: Uint8Array): void {
    this.#unsent.push(bytes);
    this.onDrain();
  }

  onDrain(): void {
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      const taken = this.#socket?.write(next) ?? -1;
      if (taken < 0) return;
      if (taken < next.length) {
        this.#unsent[0] = next.subarray(taken);
        return;
      }
      this.#unsent.shift();
    }
  }

  /** Stops or resumes reading. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** The next message that was not taken yet: of that kind, those before it passed over, or any. */
  async take(kind?: number): Promise<RawMessage> {
    for (;;) {
      const arrived = this.#arrived.promise;
      while (this.#taken < this.received.length) {
        const message = this.received[this.#taken++]!;
        if (kind === undefined || message[0] === kind) return message;
      }
      if (!this.isOpen) {
        const kinds = this.received.map((message) => message[0]).join(", ");
        throw new Error(
          `the connection ended without a message of kind ${kind ?? "any"}; there came ${kinds}`,
        );
      }
      await Promise.race([arrived, this.ended]);
    }
  }

  onData(chunk: Uint8Array): void {
    this.#decoder.push(chunk, (source, start, end) => {
      this.received.push(decode(source, start, end) as RawMessage);
      return true;
    });
    const { resolve } = this.#arrived;
    this.#arrived = Promise.withResolvers<void>();
    resolve();
  }

  onEnded(): void {
    this.isOpen = false;
    this.#ended.resolve();
  }

  /** Ends its output but keeps reading. */
  leave(): void {
    this.#socket?.shutdown();
  }

  /** Ends the connection without a bye. */
  cut(): void {
    this.#socket?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket === undefined) return;
    this.cut();
    await this.ended;
  }
}

const rawHandlers = {
  data: (socket: Bun.Socket<RawPeer>, chunk: Buffer) => socket.data.onData(chunk),
  drain: (socket: Bun.Socket<RawPeer>) => socket.data.onDrain(),
  end: (socket: Bun.Socket<RawPeer>) => void socket.end(),
  close: (socket: Bun.Socket<RawPeer>) => socket.data.onEnded(),
};

let listeners = 0;

/**
 * Listens for dials to scripted peers. Runs `script` for each connection as it opens; it may end with the connection.
 */
export class RawListener implements AsyncDisposable {
  readonly addr: Address;
  /** The connections accepted, in order. */
  readonly peers: RawPeer[] = [];
  readonly #listener: Bun.UnixSocketListener<RawPeer>;

  constructor(script: (peer: RawPeer) => Promise<void>) {
    const path = join(process.env["FURROW_RUNTIME_DIR"]!, `raw-${++listeners}.sock`);
    this.#listener = Bun.listen<RawPeer>({
      unix: path,
      socket: {
        ...rawHandlers,
        open: (socket) => {
          const peer = new RawPeer();
          socket.data = peer;
          peer.attach(socket);
          this.peers.push(peer);
          script(peer).catch((error: unknown) => {
            if (peer.isOpen) throw error;
          });
        },
      },
    });
    this.addr = `unix://${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.stop();
    await Promise.all(this.peers.map((peer) => peer[Symbol.asyncDispose]()));
  }
}

/**
 * A scripted registrar. It acknowledges every registration, finds no name and grants every claim, unless `onRegister`,
 * `onLookup` or `onClaim` does something else.
 */
export class RawRegistrar implements AsyncDisposable {
  readonly uuid: string = crypto.randomUUID();
  /** Called instead of the acknowledgement. */
  onRegister: ((peer: RawPeer, message: RawMessage) => void) | undefined;
  /** Called for a change of a registration, which is otherwise ignored. */
  onUpdate: ((peer: RawPeer, message: RawMessage) => void) | undefined;
  /** Called instead of the answer. */
  onLookup: ((peer: RawPeer, message: RawMessage) => void) | undefined;
  /** Called for a watch or its end, which are otherwise ignored. */
  onWatch: ((peer: RawPeer, message: RawMessage) => void) | undefined;
  /** Called instead of giving the name away. */
  onClaim: ((peer: RawPeer, message: RawMessage) => void) | undefined;
  #silence: PromiseWithResolvers<void> | undefined;
  readonly #listener: RawListener = new RawListener((peer) => this.#serve(peer));

  get addr(): Address {
    return this.#listener.addr;
  }

  /** While it is set, connections are accepted and get no answer, as from a stopped process. They get it afterwards. */
  set isSilent(isSilent: boolean) {
    this.#silence?.resolve();
    this.#silence = isSilent ? Promise.withResolvers<void>() : undefined;
  }

  /** The connections that came, in order, probes among them. */
  get peers(): readonly RawPeer[] {
    return this.#listener.peers;
  }

  /** The number of connections so far. */
  get connections(): number {
    return this.#listener.peers.length;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const peer of this.#listener.peers) peer.cut();
  }

  async #serve(peer: RawPeer): Promise<void> {
    await this.#silence?.promise;
    await peer.take(Kind.hello);
    const { uuid, addr } = this;
    peer.send(rawHello({ name: "raw-registrar", uuid, addrs: [addr], isRegistrar: true }));
    for (;;) this.#answer(peer, await peer.take());
  }

  #answer(peer: RawPeer, message: RawMessage): void {
    const [kind, id] = message;
    if (kind === Kind.register && this.onRegister !== undefined) this.onRegister(peer, message);
    else if (kind === Kind.update) this.onUpdate?.(peer, message);
    else if (kind === Kind.lookup && this.onLookup !== undefined) this.onLookup(peer, message);
    else if (kind === Kind.watch || kind === Kind.unwatch) this.onWatch?.(peer, message);
    else if (kind === Kind.claim && this.onClaim !== undefined) this.onClaim(peer, message);
    else if (kind === Kind.claim) peer.send([Kind.result, id, null]);
    else if (kind === Kind.lookup) peer.send([Kind.result, id, []]);
    else if (kind === Kind.register || kind === Kind.unregister) peer.send([Kind.result, id, 1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener[Symbol.asyncDispose]();
  }
}
