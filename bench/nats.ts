/** The key-value store of NATS, where it is on the machine, with its own client. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { openProgram, type Store, untilUp } from "./store.ts";

/** The server's program, or undefined. */
export const natsServer: string | undefined = Bun.which("nats-server") ?? undefined;

/** Starts a server on a loopback port, with a bucket in memory that is read directly, without its stream's log. */
export async function openNats(program: string, folder: string): Promise<Store> {
  // only the row beside it pays for loading the client
  const { connect } = await import("@nats-io/transport-node");
  const { Kvm } = await import("@nats-io/kv");
  const stack = new AsyncDisposableStack();
  try {
    const quiet = ["--jetstream", "--store_dir", folder, "--ports_file_dir", folder];
    stack.use(openProgram([program, "--addr", "127.0.0.1", "--port", "-1", ...quiet]));
    const servers = await untilUp(() => addressIn(folder));
    const connection = await untilUp(() => connect({ servers, reconnect: false }));
    stack.defer(() => connection.close());
    const bucket = await new Kvm(connection).create("bench", {
      storage: "memory",
      allow_direct: true,
    });
    const key = "actor-0";
    await bucket.put(key, "tcp://127.0.0.1:1616");
    return {
      get: async () => (await bucket.get(key))?.string(),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Where the server listens, out of the file that it writes when it does. */
async function addressIn(folder: string): Promise<string> {
  const file = readdirSync(folder).find((name) => name.endsWith(".ports"));
  if (file === undefined) throw new Error("nats-server does not listen");
  const { nats } = (await Bun.file(join(folder, file)).json()) as { readonly nats: readonly string[] };
  const [address] = nats;
  if (address === undefined) throw new Error("nats-server listens nowhere");
  return address;
}
