/** Redis, read with Bun's client. */
import { join } from "node:path";

import { openProgram, type Store, untilUp } from "./store.ts";

/** The path of the server, or undefined if it isn't installed. */
export const redisServer: string | undefined = Bun.which("redis-server") ?? undefined;

/** Starts a server that only listens on a socket in `folder`. Automatic pipelining is off: with many gets in flight that is faster. */
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
