/** Redis, where it is on the machine: the store that a lookup is compared with. */
import { join } from "node:path";

/** The server's program, or undefined. */
export const redisServer: string | undefined = Bun.which("redis-server") ?? undefined;

interface Redis extends AsyncDisposable {
  readonly get: () => Promise<unknown>;
}

/** Starts a server on a socket in `folder` alone, and a client without automatic pipelining, which is the faster way with many in flight. */
export async function openRedis(program: string, folder: string): Promise<Redis> {
  const socket = join(folder, "redis.sock");
  const options = [
    "--port",
    "0",
    "--unixsocket",
    socket,
    "--save",
    "",
    "--appendonly",
    "no",
    "--dir",
    folder,
  ];
  const server = Bun.spawn([program, ...options], { stdio: ["ignore", "ignore", "inherit"] });
  const client = new Bun.RedisClient(`redis+unix://${socket}`, { enableAutoPipelining: false });
  const key = "actor-0";
  await connected(client);
  await client.set(key, `unix://${socket}`);
  return {
    get: () => client.get(key),
    async [Symbol.asyncDispose]() {
      client.close();
      server.kill();
      await server.exited;
    },
  };
}

async function connected(client: Bun.RedisClient): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await client.connect();
      return;
    } catch (error) {
      if (attempt === 100) throw error;
      await Bun.sleep(20);
    }
  }
}
