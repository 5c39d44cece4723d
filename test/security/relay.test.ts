/**
 * A stranger between two actors that hold the secret: it can forward their messages but must gain nothing from that.
 */
import { describe, expect, test } from "bun:test";

import { type Address, openRootActor, UnauthenticatedError } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

type Side = Bun.Socket<{ other: Side | undefined; early: Uint8Array[] }>;

/** Listens on a port of its own, forwards everything to `target` and back, and records what diallers send. */
function relayTo(target: Address): Disposable & { readonly addr: Address; readonly heard: Uint8Array[] } {
  const heard: Uint8Array[] = [];
  const pass = (side: Side, chunk: Uint8Array): void => {
    if (side.data.other === undefined) side.data.early.push(chunk);
    else side.data.other.write(chunk);
  };
  const close = (side: Side): void => void side.data?.other?.end();
  const listener = Bun.listen<Side["data"]>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(near) {
        near.data = { other: undefined, early: [] };
        const port = Number(new URL(target).port);
        void Bun.connect<Side["data"]>({
          hostname: "127.0.0.1",
          port,
          data: { other: near, early: [] },
          socket: { data: pass, close },
        }).then(
          (far) => {
            near.data.other = far;
            for (const chunk of near.data.early) far.write(chunk);
          },
          () => near.end(),
        );
      },
      data(near, chunk) {
        heard.push(chunk);
        pass(near, chunk);
      },
      close,
    },
  });
  return {
    addr: `tcp://127.0.0.1:${listener.port}`,
    heard,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

describe("a stranger who listens at an address that is dialled", () => {
  test("can't get between two actors by forwarding their proofs: they belong to another connection", async () => {
    await using world = new World();
    await world.actor("hub");
    using relay = relayTo(world.tcp);
    const error = await failure(openRootActor({ registryAddrs: [relay.addr], enableTransports: ["tcp"] }));
    expect(error).toBeInstanceOf(UnauthenticatedError);
    expect(relay.heard.length).toBeGreaterThan(0);
  });

  test("does not hinder a dial by another spelling of the address", async () => {
    for (const [at, to] of [
      ["127.0.0.1", "localhost"],
      ["[::1]", "[::1]"],
    ] as const) {
      await using world = new World();
      const { port } = new URL(world.tcp);
      const options = { enableTransports: ["tcp"] };
      await world.actor("hub", { ...options, registryAddrs: [`tcp://${at}:${port}`] });
      const guest = await world.actor("guest", { ...options, registryAddrs: [`tcp://${to}:${port}`] });
      expect([to, await guest.run(({ furrow }) => furrow.currentActor().isRegistrar)]).toEqual([to, false]);
    }
  });
});
