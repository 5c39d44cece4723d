/** Where commands run for their golden files: beside a live tree, and where everything is wrong. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { findActor, type Portal, type StartOptions } from "../../src/index.ts";
import type { Env } from "./command-line.ts";
import { Relay } from "./relay.ts";
import { Shop, type ShopActor } from "./shop.ts";
import { World } from "./world.ts";

/**
 * Who answers at the registry address. shop: the registrar of a live tree. nowhere: nobody. silent: somebody who accepts
 * connections and says nothing. mute: a registrar that greets and doesn't answer. foreign: one with another secret.
 */
export type Place = "shop" | "nowhere" | "silent" | "mute" | "foreign";

export class Stage implements AsyncDisposable {
  readonly shop: Shop;
  /** For files of the commands. */
  readonly folder: string;
  readonly #addrs: Readonly<Record<Exclude<Place, "shop">, string>>;
  readonly #resources: AsyncDisposableStack;
  #connected = Promise.withResolvers<void>();

  private constructor(shop: Shop, world: World, relay: Relay, resources: AsyncDisposableStack) {
    this.shop = shop;
    this.folder = join(world.dir, "files");
    mkdirSync(this.folder);
    this.#addrs = {
      nowhere: `unix://${world.dir}/nobody@1.sock`,
      silent: `unix://${world.dir}/silent@1.sock`,
      mute: relay.addr,
      foreign: world.tcp,
    };
    const listener = Bun.listen({
      unix: this.#addrs.silent.slice("unix://".length),
      socket: { open: () => this.#connected.resolve(), data() {} },
    });
    this.#resources = resources;
    resources.defer(() => listener.stop(true));
  }

  static async open(): Promise<Stage> {
    await using resources = new AsyncDisposableStack();
    const world = resources.use(new World());
    await world.actor("hub", { registryAddrs: world.registryAddrs });
    const relay = resources.use(await Relay.open(world.unix, join(world.dir, "relay.sock")));
    relay.isMute = true;
    const shop = resources.use(await Shop.open());
    return new Stage(shop, world, relay, resources.move());
  }

  /** The environment of a command that runs there. */
  env(place: Place): Env {
    const { env } = this.shop;
    if (place === "shop") return env;
    const elsewhere = { ...env, FURROW_REGISTRY_ADDRS: this.#addrs[place] };
    return place === "foreign"
      ? { ...elsewhere, FURROW_SECRET: "a secret that nobody else has been given" }
      : elsewhere;
  }

  /** Resolves when the next command connects where nobody answers. */
  async nextConnection(): Promise<void> {
    this.#connected = Promise.withResolvers<void>();
    await this.#connected.promise;
  }

  async start(name: string, options: Omit<StartOptions, "module"> = {}): Promise<Portal<ShopActor>> {
    return await this.shop.start(name, options);
  }

  /** Ends all actors of that name. */
  async end(name: string): Promise<void> {
    const portals = await findActor(name, { onlyFirst: false });
    await Promise.all(portals.map(async (portal) => await portal.cancelActor()));
  }

  /** Writes a file for a command; returns its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]();
  }
}
