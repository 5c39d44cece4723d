/** What systemd would be told: a unix datagram socket, which Bun doesn't offer. */
import { ptr } from "bun:ffi";

import { openLibc } from "../../src/transport/libc.ts";

const { symbols } = {
  symbols: openLibc({
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
  }),
};
const nonBlocking = 0x800;

export class Notifications implements Disposable {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = symbols.socket(1, 2 | nonBlocking, 0);
    const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(path)]);
    if (symbols.bind(this.#fd, ptr(address), address.length) !== 0) throw new Error(`cannot bind ${path}`);
  }

  /** The next one, or undefined if there is none yet. */
  take(): string | undefined {
    const buffer = Buffer.alloc(4_096);
    const length = Number(symbols.recv(this.#fd, ptr(buffer), buffer.length, 0));
    return length < 0 ? undefined : buffer.toString("utf8", 0, length);
  }

  [Symbol.dispose](): void {
    symbols.close(this.#fd);
  }
}
