/** The places of peers, when one certificate asks for all of them. */
import { describe, expect, test } from "bun:test";

import { getRegistry, openRootActor } from "../../src/index.ts";
import { loadTls, type TlsIdentity } from "../../src/transport/tls.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { RawListener, rawHello, RawPeer } from "../support/raw-peer.ts";
import { World } from "../support/world.ts";

const maxConnections = 6;

class Crowd extends World {
  readonly #authority = new Authority();
  readonly #stack = new AsyncDisposableStack();

  identity(name: string): TlsIdentity {
    return loadTls(writeTls(this.dir, name, this.#authority.issue(`shop/${name}`)));
  }

  async open(): Promise<void> {
    const tls = writeTls(this.dir, "server", this.#authority.issue("shop/server"));
    this.#stack.use(await openRootActor({ ...this.options, security: { tls }, limits: { maxConnections } }));
  }

  /** One more connection by that certificate. */
  async join(identity: TlsIdentity): Promise<unknown> {
    const peer = this.#stack.use(await RawPeer.connect(this.tcp, { name: "web" }, identity));
    return (await peer.take())[0];
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
    await super[Symbol.asyncDispose]();
  }
}

describe("a certificate that has taken every place", () => {
  test("makes room for this user, and for other certificates up to their share", async () => {
    await using world = new Crowd();
    await world.open();
    const [web, ops] = [world.identity("web"), world.identity("ops")];
    const answers: unknown[] = [];
    for (let at = 0; at < maxConnections + 1; at++) answers.push(await world.join(web));
    expect(answers).toEqual([...Array<unknown>(maxConnections).fill(Kind.hello), Kind.refuse]);
    await using own = await RawPeer.connect(world.unix, { name: "own" });
    expect((await own.take())[0]).toBe(Kind.hello);
    const others: unknown[] = [];
    for (let at = 0; at < 3; at++) others.push(await world.join(ops));
    expect(others).toEqual([Kind.hello, Kind.hello, Kind.refuse]);
  });

  test("doesn't keep the actor from dialling others", async () => {
    await using world = new Crowd();
    await world.open();
    const web = world.identity("web");
    await using other = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ name: "other-hub", isRegistrar: true }));
    });
    for (let at = 0; at < maxConnections; at++) await world.join(web);
    await using registry = await getRegistry(other.addr);
    expect(registry.id.name).toBe("other-hub");
  });
});
