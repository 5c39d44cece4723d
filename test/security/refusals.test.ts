/** A refusal over plain tcp by who holds a port and not the secret: it says that nobody is reached there, and nothing else. */
import { describe, expect, test } from "bun:test";

import { findActor, getRegistry, openRootActor, RegistryUnavailableError } from "../../src/index.ts";
import { Batch } from "../../src/wire/codec.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

/** Holds a port, and refuses each connection in these words. */
class Refuser implements Disposable {
  connections = 0;
  readonly addr: `tcp://${string}`;
  readonly #listener: Bun.TCPSocketListener;

  constructor(refusal: string, uuid: string) {
    const batch = new Batch();
    batch.add([Kind.refuse, refusal, "says the stranger", uuid, new Uint8Array(32)], 4_096);
    batch.add([Kind.bye, refusal], 4_096);
    const answers: Uint8Array[] = [];
    batch.drain((bytes, start, end) => answers.push(bytes.slice(start, end)));
    const answer = new Uint8Array(Buffer.concat(answers));
    this.#listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: () => void this.connections++,
        data: (socket) => void socket.write(answer),
      },
    });
    this.addr = `tcp://127.0.0.1:${this.#listener.port}`;
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}

describe("a stranger that refuses as the registrar itself", () => {
  test("isn't taken for this actor", async () => {
    await using world = new World();
    await using self = await openRootActor(world.options);
    using stranger = new Refuser("self", self.uuid);
    const registryAddrs = [stranger.addr];
    expect(await failure(getRegistry(stranger.addr))).toBeInstanceOf(RegistryUnavailableError);
    expect(await failure(findActor("bank", { registryAddrs }))).toBeInstanceOf(RegistryUnavailableError);
  });

  test("is one address that failed to an actor that is at another spelling of its own", async () => {
    await using world = new World();
    await using _self = await openRootActor(world.options);
    await using registry = await getRegistry(
      world.tcp.replace("127.0.0.1", "localhost") as `tcp://${string}`,
    );
    expect(registry.id.pid).toBe(process.pid);
  });
});

describe("a stranger that refuses as a peer that is connected", () => {
  test.each(["duplicate", "crossed"])("isn't taken for it, and is dialled once (%s)", async (refusal) => {
    await using world = new World();
    await world.actor("hub");
    await using _self = await openRootActor({ registryAddrs: [world.unix], name: "customer" });
    await using registry = await getRegistry();
    using stranger = new Refuser(refusal, registry.id.uuid);
    const error = await failure(getRegistry(stranger.addr));
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(stranger.connections).toBe(1);
  });

  test.each(["duplicate", "crossed"])("delays no boot, and is named in its error (%s)", async (refusal) => {
    await using world = new World();
    using stranger = new Refuser(refusal, crypto.randomUUID());
    const options = { registryAddrs: [stranger.addr], enableTransports: ["tcp" as const] };
    const error = await failure(openRootActor(options));
    expect(error.name).toBe("RegistryOccupiedError");
    expect(error.message).toContain("says the stranger");
    expect(world.dir).toBeString();
    expect(stranger.connections).toBe(1);
  });
});
