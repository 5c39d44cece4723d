/** A store that holds addresses under names, and what it takes to start its server. */

/** A store with one name in it. */
export interface Store extends AsyncDisposable {
  /** Gets the address of that name from the server. */
  readonly get: () => Promise<unknown>;
}

/** How often a starting server is tried, and the pause between two attempts. */
const attempts = 500;
const pauseMs = 20;

/** A server's process. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
}

/** Starts a server without its output; it ends with its scope. */
export function openProgram(command: readonly string[]): ServerProcess {
  const server = Bun.spawn(Array.from(command), { stdio: ["ignore", "ignore", "ignore"] });
  return {
    pid: server.pid,
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.exited;
    },
  };
}

/** Repeats `attempt` until it succeeds: a server takes up to a second before it answers. */
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

/** Returns a loopback port that was free a moment ago, for a server that doesn't accept port 0. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop();
  return port;
}
