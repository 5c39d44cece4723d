/** Redis, where it is on the machine: a store that a lookup is compared with. */
import { join } from "node:path";

import { openProgram, type Store, untilUp } from "./store.ts";

/** The server's program, or undefined. */
export const redisServer: string | undefined = Bun.which("redis-server") ?? undefined;

/** Starts a server on a socket in `folder` alone, and a client without automatic pipelining, which is the faster way with many in flight. */
export async function openRedis(program: string, folder: string): Promise<Store> {
  const socket = join(folder, "redis.sock");
  const quiet = ["--save", "", "--appendonly", "no", "--dir", folder];
  const server = openProgram([program, "--port", "0", "--unixsocket", socket, ...quiet]);
  const client = new Bun.RedisClient(`redis+unix://${socket}`, { enableAutoPipelining: false });
  const key = "actor-0";
  await untilUp(() => client.connect());
  await client.set(key, `unix://${socket}`);
  return {
    get: () => client.get(key),
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
