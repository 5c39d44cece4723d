/** A pair of linked ends in one process, without a socket: for an actor that talks to itself. */
import { copyOf } from "./socket.ts";
import type { Link, LinkEnd, LinkPeer, LinkReader } from "./transport.ts";

const nobody: LinkReader = { onData() {}, onEnd() {} };

class MemoryLink implements Link {
  reader: LinkReader = nobody;
  readonly remote = "this actor";
  readonly peer: LinkPeer = { kind: "unix", uid: process.getuid?.() ?? 0, pid: process.pid };
  readonly localHost = "";
  readonly ends = "";

  loopbackUid(): undefined {
    return undefined;
  }

  readonly mayFallSilent = false;
  readonly pendingBytes = 0;
  writes = 0;
  writtenBytes = 0;
  readBytes = 0;
  other: MemoryLink | undefined;
  #ended = false;

  /** The other end receives a copy in a microtask, as if it came from the event loop. */
  write(bytes: Uint8Array, start: number, end: number): void {
    const { other } = this;
    if (this.#ended || other === undefined) return;
    this.writes++;
    this.writtenBytes += end - start;
    const chunk = copyOf(bytes, start, end);
    queueMicrotask(() => {
      if (other.#ended) return;
      other.readBytes += chunk.length;
      other.reader.onData(chunk);
    });
  }

  async drained(): Promise<void> {}

  async close(): Promise<void> {
    this.#end({ kind: "closed" });
  }

  abort(error?: Error): void {
    this.#end(error === undefined ? { kind: "closed" } : { kind: "failed", error });
  }

  pause(): void {}

  resume(): void {}

  #end(end: LinkEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    const { other } = this;
    this.other = undefined;
    queueMicrotask(() => this.reader.onEnd(end));
    // after the data that was written before
    if (other !== undefined) queueMicrotask(() => other.#end({ kind: "ended" }));
  }
}

export function memoryLinks(): [Link, Link] {
  const one = new MemoryLink();
  const two = new MemoryLink();
  one.other = two;
  two.other = one;
  return [one, two];
}
