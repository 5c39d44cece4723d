/** Stores that hold addresses under names, in servers of their own: what the rows beside them need. */

/** A store that knows one name. */
export interface Store extends AsyncDisposable {
  /** Asks its server for the address of that name. */
  readonly get: () => Promise<unknown>;
}

/** How often, and with what pause, a server that starts is asked whether it is up. */
const attempts = 500;
const pauseMs = 20;

/** Starts a server's program, which says nothing here; it is ended with its scope. */
export function openProgram(command: readonly string[]): AsyncDisposable {
  const server = Bun.spawn(Array.from(command), { stdio: ["ignore", "ignore", "ignore"] });
  return {
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.exited;
    },
  };
}

/** Tries until it succeeds: a server takes a moment, or a second, before it answers. */
export async function untilUp<T>(attempt: () => Promise<T> | T): Promise<T> {
  for (let failed = 0; ; failed++) {
    try {
      return await attempt();
    } catch (error) {
      if (failed === attempts) throw error;
      await Bun.sleep(pauseMs);
    }
  }
}

/** A port of the loopback address that was free a moment ago, for a server that cannot be given port 0. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop();
  return port;
}
