/** The key-value store of NATS, read with its own client. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { openProgram, type Store, untilUp } from "./store.ts";

/** The path of the server, or undefined if it isn't installed. */
export const natsServer: string | undefined = Bun.which("nats-server") ?? undefined;

/** Starts a server on a loopback port, with a bucket in memory that is read directly, past the log of its stream. */
export async function openNats(program: string, folder: string): Promise<Store> {
  // only the row that needs the client pays for loading it
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

/** Reads the address from the file that the server writes once it listens. */
async function addressIn(folder: string): Promise<string> {
  const file = readdirSync(folder).find((name) => name.endsWith(".ports"));
  if (file === undefined) throw new Error("nats-server is not listening yet");
  const { nats } = (await Bun.file(join(folder, file)).json()) as { readonly nats: readonly string[] };
  const [address] = nats;
  if (address === undefined) throw new Error("nats-server listens on no address");
  return address;
}
