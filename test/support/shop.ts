/** A live tree for the tests of the command line: one for all tests of a file, since processes are dear. */
import type { Portal, StartOptions } from "../../src/index.ts";
import { type TestTree, testTree } from "../../src/testing.ts";
import type { Env } from "./command-line.ts";

export type ShopActor = typeof import("../fixtures/shop.ts");
const module = new URL("../fixtures/shop.ts", import.meta.url);

/** shop, this process, with market, orders and, below that, 台帳. */
export class Shop implements AsyncDisposable {
  readonly tree: TestTree;
  /** These two are set when it is open. */
  market!: Portal<ShopActor>;
  orders!: Portal<ShopActor>;

  private constructor(tree: TestTree) {
    this.tree = tree;
  }

  static async open(): Promise<Shop> {
    const shop = new Shop(
      await testTree({ name: "shop", enableTransports: ["unix"], strategy: "one-for-one" }),
    );
    shop.market = await shop.start("market", { version: "1.2.0", metadata: { zone: "eu", weight: 3 } });
    shop.orders = await shop.start("orders");
    await shop.orders.run.startBelow("台帳");
    return shop;
  }

  /** The environment of a command that looks at it. */
  get env(): Env {
    return this.tree.env;
  }

  async start(name: string, options: Omit<StartOptions, "module"> = {}): Promise<Portal<ShopActor>> {
    return await this.tree.nursery.startActor<ShopActor>(name, { module, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tree[Symbol.asyncDispose]();
  }
}
