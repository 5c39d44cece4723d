/** A relay in front of a TCP port that can stop forwarding, in one direction or both: a network that swallows everything. */
import type { Socket } from "bun";

/** "there": to the port; "back": from it. */
export type Direction = "there" | "back";

interface End {
  other: Socket<End> | undefined;
  readonly direction: Direction;
  /** What couldn't be forwarded yet. */
  held: Uint8Array[];
  hasEnded: boolean;
}

export class TcpRelay implements AsyncDisposable {
  readonly port: number;
  connections = 0;
  readonly #target: number;
  readonly #listener: Bun.TCPSocketListener<End>;
  readonly #sockets = new Set<Socket<End>>();
  readonly #holes = new Set<Direction>();

  constructor(target: number) {
    this.#target = target;
    this.#listener = Bun.listen<End>({
      hostname: "127.0.0.1",
      port: 0,
      socket: this.#handlers((socket) => {
        this.connections++;
        socket.data = endOf("there");
        void this.#dial(socket);
      }),
    });
    this.port = this.#listener.port;
  }

  /** Swallows what comes from now on. Connections stay open, and new ones are accepted. */
  swallow(...directions: readonly Direction[]): void {
    for (const direction of directions.length === 0 ? (["there", "back"] as const) : directions)
      this.#holes.add(direction);
  }

  /** Forwards again, and what was swallowed too, also of connections that have ended: a network sends it again. */
  mend(): void {
    this.#holes.clear();
    for (const socket of this.#sockets) this.#flush(socket);
  }

  /** Ends all connections at once. */
  reset(): void {
    for (const socket of this.#sockets) socket.terminate();
    this.#sockets.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.stop(true);
    this.reset();
  }

  async #dial(near: Socket<End>): Promise<void> {
    try {
      const far = await Bun.connect<End>({
        hostname: "127.0.0.1",
        port: this.#target,
        data: endOf("back"),
        socket: this.#handlers(() => {}),
      });
      far.data.other = near;
      near.data.other = far;
      this.#flush(near);
      this.#flush(far);
    } catch {
      near.terminate();
    }
  }

  #handlers(open: (socket: Socket<End>) => void): Bun.SocketHandler<End> {
    return {
      open: (socket) => {
        open(socket);
        this.#sockets.add(socket);
      },
      data: (socket, chunk) => {
        socket.data.held.push(chunk.slice());
        this.#flush(socket);
      },
      drain: (socket) => {
        if (socket.data.other !== undefined) this.#flush(socket.data.other);
      },
      close: (socket) => {
        socket.data.hasEnded = true;
        this.#flush(socket);
      },
      error: (socket) => socket.terminate(),
    };
  }

  /** Forwards what came from `socket`. */
  #flush(socket: Socket<End>): void {
    const { data } = socket;
    if (data.other === undefined || this.#holes.has(data.direction)) return;
    while (data.held.length > 0) {
      const [chunk] = data.held;
      const written = data.other.write(chunk!);
      if (written < 0) return;
      if (written < chunk!.length) {
        data.held[0] = chunk!.subarray(written);
        return;
      }
      data.held.shift();
    }
    if (!data.hasEnded) return;
    this.#sockets.delete(socket);
    // what was sent before arrives before the end does
    setTimeout((other) => other.end(), 2, data.other);
  }
}

function endOf(direction: Direction): End {
  return { other: undefined, direction, held: [], hasEnded: false };
}
