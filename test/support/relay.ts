/**
 * A relay in front of an actor's unix address: it forwards traffic both ways and records the messages and their
 * bytes. The kernel sees the relay as the other end, so it replaces the pid in each hello by its own.
 */
import { Deadline } from "../../src/deadline.ts";
import type { Address } from "../../src/index.ts";
import { type ParsedAddress, parseAddress } from "../../src/transport/address.ts";
import type { Link, Listener } from "../../src/transport/transport.ts";
import { unixTransport } from "../../src/transport/unix.ts";
import { Batch } from "../../src/wire/codec.ts";
import { decode } from "../../src/wire/decode.ts";
import { FrameDecoder, headerBytes } from "../../src/wire/frame.ts";
import type { Message } from "../../src/wire/messages.ts";

/** Traffic in one direction. */
export interface Traffic {
  messages: Message[];
  bytes: number;
}

/** Traffic to the actor, and back. */
export interface Passed {
  readonly there: Traffic;
  readonly back: Traffic;
}

export class Relay implements AsyncDisposable {
  readonly addr: Address;
  connections = 0;
  /** Whether nothing comes back any more but what an actor says first, its hello. */
  isMute = false;
  readonly #target: ParsedAddress & { transport: "unix" };
  readonly #links = new Set<Link>();
  #listener: Listener | undefined;
  #passed: Passed = nothing();

  private constructor(target: Address, path: string) {
    this.#target = unixAddress(target);
    this.addr = `unix://${path}`;
  }

  /** Listens at `path` and forwards to `target`. */
  static async open(target: Address, path: string): Promise<Relay> {
    const relay = new Relay(target, path);
    relay.#listener = await unixTransport.listen(unixAddress(relay.addr), (near) => relay.#accept(near));
    return relay;
  }

  /** The traffic since the last call. */
  take(): Passed {
    const passed = this.#passed;
    this.#passed = nothing();
    return passed;
  }

  #accept(near: Link): void {
    this.connections++;
    const early: Uint8Array[] = [];
    near.reader = { onData: (chunk) => void early.push(chunk), onEnd: () => near.abort() };
    this.#links.add(near);
    void unixTransport.connect(this.#target, new Deadline({ timeout: 5_000 }, "relay")).then((far) => {
      this.#links.add(far);
      this.#pass(near, far, "there");
      this.#pass(far, near, "back");
      for (const chunk of early) near.reader.onData(chunk);
    });
  }

  #pass(from: Link, to: Link, way: keyof Passed): void {
    const decoder = new FrameDecoder(1 << 28);
    let isFirst = true;
    from.reader = {
      onData: (chunk) => {
        const traffic = this.#passed[way];
        traffic.bytes += chunk.length;
        if (this.isMute && way === "back" && !isFirst) return;
        const asItCame = isFirst ? withOwnPid(chunk) : chunk;
        isFirst = false;
        decoder.push(chunk, (source, start, end) => {
          traffic.messages.push(decode(source, start, end) as Message);
          return true;
        });
        to.write(asItCame, 0, asItCame.length, true);
      },
      onEnd: () => void to.close(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener?.close();
    for (const link of this.#links) link.abort();
  }
}

/** The chunk, whose first frame is a hello, with its pid replaced by this process's. */
function withOwnPid(chunk: Uint8Array): Uint8Array {
  const end = headerBytes + new DataView(chunk.buffer, chunk.byteOffset).getUint32(0, true);
  const hello = decode(chunk, headerBytes, end) as unknown[];
  hello[5] = process.pid;
  const batch = new Batch();
  batch.add(hello, 1 << 28);
  const parts: Uint8Array[] = [];
  batch.drain((bytes, from, to) => parts.push(bytes.slice(from, to)));
  return new Uint8Array(Buffer.concat([...parts, chunk.subarray(end)]));
}

function nothing(): Passed {
  return { there: { messages: [], bytes: 0 }, back: { messages: [], bytes: 0 } };
}

function unixAddress(addr: Address): ParsedAddress & { transport: "unix" } {
  const parsed = parseAddress(addr);
  if (parsed.transport !== "unix") throw new Error(`${addr} is not a unix address`);
  return parsed;
}
