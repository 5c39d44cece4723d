/** Traces, metrics and log records of calls, streams and dialogs, as a collector gets them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { bucketBounds } from "../../src/inspect/histogram.ts";
import { type CollectedSpan, Collector } from "../support/collector.ts";
import { type Program, until, World } from "../support/world.ts";

type Traced = typeof import("../fixtures/traced.ts");

const tracing = Bun.fileURLToPath(new URL("../fixtures/tracing.ts", import.meta.url));
const traced = new URL("../fixtures/traced.ts", import.meta.url).href;

/** What the programs below have at hand, beside furrow. */
interface Kept {
  readonly market: import("../../src/index.ts").Portal<Traced>;
}

/** A collector, and a program whose actor "shop" has children "market" and "ledger": every process is traced. */
class Stage implements AsyncDisposable {
  readonly collector: Collector = new Collector();
  readonly #world = new World();
  #shop: Program | undefined;

  static async open(env: Readonly<Record<string, string>> = {}): Promise<Stage> {
    const stage = new Stage();
    const variables = { ...stage.collector.env, BUN_OPTIONS: `--preload=${tracing}`, ...env };
    stage.#shop = await stage.#world.actor("shop", {}, variables);
    await stage.shop.run(async ({ furrow, keep, args: [module] }) => {
      const nursery = await furrow.openNursery();
      const [market, ledger] = await Promise.all(
        ["market", "ledger"].map((name) => nursery.startActor(name, { module: module as string })),
      );
      Object.assign(keep, { market, ledger });
    }, traced);
    return stage;
  }

  get shop(): Program {
    return this.#shop!;
  }

  /** Calls a function of "market"; a failure is its code. */
  async call(fn: keyof Traced, ...given: unknown[]): Promise<unknown> {
    return await this.shop.run(
      async ({ keep, args: [name, all] }) => {
        const { run } = keep["market"] as { run: Record<string, (...all: unknown[]) => unknown> };
        try {
          return await run[name as string]!(...(all as unknown[]));
        } catch (error) {
          return (error as { code?: string }).code;
        }
      },
      fn,
      given,
    );
  }

  /** Waits until there are so many spans. */
  async spans(count: number): Promise<CollectedSpan[]> {
    return await this.collector.take(count);
  }

  /** Ends the tree; returns what its actors have logged. */
  async log(): Promise<Record<string, unknown>[]> {
    await this.shop.run(async ({ furrow }) => await furrow.currentActor().cancel());
    this.shop.process.kill();
    const lines = (await this.shop.stderr).split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#world[Symbol.asyncDispose]();
    await this.collector[Symbol.asyncDispose]();
  }
}

/** Each span as "kind name", those below it in braces, in the order of their names. */
function treeOf(spans: readonly CollectedSpan[], parent?: string): string {
  const below = spans.filter(({ parentSpanId }) => parentSpanId === parent);
  return below
    .map(({ kind, name, spanId }) => {
      const inner = treeOf(spans, spanId);
      return inner === "" ? `${kind} ${name}` : `${kind} ${name} { ${inner} }`;
    })
    .toSorted()
    .join(", ");
}

/** For most tests: each takes the spans that it has caused. */
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.open();
});

afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

describe("a trace", () => {
  test("through three actors in three processes is one tree, and its ids are in the JSON logs", async () => {
    const logs = { FURROW_LOG: "rpc=debug", FURROW_LOG_FORMAT: "json" };
    await using own = await Stage.open(logs);
    expect(await own.call("relay", ["ledger"])).toBe("done");
    const spans = await own.spans(4);
    expect(treeOf(spans)).toBe(
      "client market/relay { server market/relay { client ledger/relay { server ledger/relay } } }",
    );
    const ids = new Set(spans.map(({ traceId }) => traceId));
    expect(ids.size).toBe(1);
    const records = await own.log();
    const mine = records.filter(({ trace_id }) => ids.has(String(trace_id)));
    for (const { spanId, kind, attributes } of spans) {
      const actor = kind === "server" ? attributes["server.address"] : undefined;
      const about = mine.filter(({ span_id, layer }) => span_id === spanId && layer === "rpc");
      expect(about).toHaveLength(1);
      if (actor !== undefined) expect(about[0]!["actor"]).toBe(actor);
    }
    expect(new Set(mine.map(({ actor }) => actor))).toEqual(new Set(["shop", "market", "ledger"]));
  });

  test("names its spans and says what they are by the conventions for RPC", async () => {
    await stage.call("relay", []);
    const spans = await stage.spans(2);
    const uuid = await stage.shop.run(({ keep }) => (keep as unknown as Kept).market.id.uuid);
    const shared = {
      "rpc.system.name": "furrow",
      "rpc.method": "market/relay",
      "server.address": "market",
      "furrow.actor.uuid": uuid,
      "furrow.verb": "run",
    };
    const bySide = Object.fromEntries(spans.map((span) => [span.kind, span]));
    expect(bySide["client"]).toMatchObject({ name: "market/relay", attributes: shared, status: "unset" });
    expect(bySide["server"]).toMatchObject({
      name: "market/relay",
      attributes: { ...shared, "client.address": "shop" },
      status: "unset",
      scope: "furrow",
    });
    expect(Object.keys(bySide["client"]!.attributes)).toHaveLength(5);
  });
});

describe("a failure", () => {
  test("has its code and its relays in every span that it passed through", async () => {
    expect(await stage.call("failAt", ["ledger"])).toBe("ERR_REMOTE_ACTOR");
    const spans = await stage.spans(4);
    const found = spans.map(({ kind, name, attributes, status, events }) => {
      const { "error.type": code, "furrow.relay.hops": hops } = attributes;
      return `${kind} ${name}: ${code}, ${hops} relays, ${status}, ${events.join()}`;
    });
    expect(found.toSorted()).toEqual([
      "client ledger/failAt: ERR_REMOTE_ACTOR, 0 relays, error, exception",
      "client market/failAt: ERR_REMOTE_ACTOR, 1 relays, error, exception",
      "server ledger/failAt: ERR_REMOTE_ACTOR, undefined relays, error, exception",
      "server market/failAt: ERR_REMOTE_ACTOR, 0 relays, error, exception",
    ]);
    expect(spans.find(({ kind, name }) => kind === "server" && name.startsWith("ledger"))!.message).toBe(
      "no price",
    );
  });

  test("of a function that isn't exposed leaves the name out of the server's span and metrics", async () => {
    expect(await stage.call("nope" as never)).toBe("ERR_NOT_EXPOSED");
    const server = (await stage.spans(2)).find(({ kind }) => kind === "server")!;
    expect(server.name).toBe("furrow");
    expect(server.attributes).toMatchObject({
      "rpc.method": "_OTHER",
      "rpc.method_original": "market/nope",
      "error.type": "ERR_NOT_EXPOSED",
    });
    const methods = (): unknown[] =>
      stage.collector.histograms
        .filter(({ attributes }) => attributes["error.type"] === "ERR_NOT_EXPOSED")
        .map(({ name, attributes }) => `${name} ${attributes["rpc.method"]}`)
        .toSorted();
    await until(() => methods().length === 2);
    expect(methods()).toEqual(["rpc.client.call.duration market/nope", "rpc.server.call.duration _OTHER"]);
  });

  test("by a timeout is the caller's alone: its callee was cancelled", async () => {
    const code = await stage.shop.run(async ({ keep }) => {
      const market = (keep as unknown as Kept).market;
      const held = market.with({ timeout: 50 }).run.hold();
      const error = await held.then(
        () => undefined,
        (reason: { code: string }) => reason.code,
      );
      await market.run.letGo();
      return error;
    });
    expect(code).toBe("ERR_TIMEOUT");
    const spans = await stage.spans(4);
    const [client, server] = ["client", "server"].map((side) =>
      spans.find(({ kind, name }) => kind === side && name === "market/hold"),
    );
    expect([client!.attributes["error.type"], server!.attributes["error.type"]]).toEqual([
      "ERR_TIMEOUT",
      undefined,
    ]);
  });
});

describe("a stream", () => {
  test("has spans that last until it ends, and what its generator calls is below them", async () => {
    await stage.shop.run(async ({ keep }) => {
      const stream = (keep as unknown as Kept).market.stream.relayed("ledger");
      keep["stream"] = stream;
      await stream.next();
    });
    // the call that the generator has made is over, and the stream isn't
    const calls = await stage.spans(2);
    expect(calls.map(({ kind, name }) => `${kind} ${name}`).toSorted()).toEqual([
      "client ledger/relay",
      "server ledger/relay",
    ]);
    await stage.shop.run(async ({ keep }) => {
      await (keep as unknown as Kept).market.run.letGo();
      for await (const _ of keep["stream"] as AsyncIterable<string>);
    });
    const streams = (await stage.spans(4)).filter(({ name }) => name !== "market/letGo");
    expect(treeOf([...calls, ...streams])).toBe(
      "client market/relayed { server market/relayed { client ledger/relay { server ledger/relay } } }",
    );
    expect(streams.map(({ attributes }) => attributes["furrow.verb"])).toEqual(["stream", "stream"]);
  });

  test("that its reader leaves early didn't fail, and one that the caller aborts did, there", async () => {
    await stage.shop.run(async ({ keep }) => {
      for await (const _ of (keep as unknown as Kept).market.stream.count(1_000_000)) break;
    });
    for (const { status, attributes } of await stage.spans(2))
      expect([status, attributes["error.type"]]).toEqual(["unset", undefined]);
    await stage.shop.run(async ({ keep }) => {
      const abort = new AbortController();
      const market = (keep as unknown as Kept).market.with({ signal: abort.signal });
      try {
        for await (const _ of market.stream.count(1_000_000)) abort.abort(new RangeError("enough"));
      } catch {
        // as it should
      }
    });
    const spans = await stage.spans(2);
    const codes = spans.map(({ kind, attributes }) => `${kind} ${attributes["error.type"]}`);
    expect(codes.toSorted()).toEqual(["client _OTHER", "server undefined"]);
  });
});

describe("a dialog", () => {
  test("has spans that last until it ends", async () => {
    const heard = await stage.shop.run(async ({ keep }) => {
      await using dialog = await (keep as unknown as Kept).market.open.chat();
      await dialog.send("how");
      await dialog.send("much");
      await dialog.end();
      return await dialog.result;
    });
    expect(heard).toBe("how much");
    const spans = await stage.spans(2);
    expect(treeOf(spans)).toBe("client market/chat { server market/chat }");
    expect(spans.map(({ attributes }) => attributes["furrow.verb"])).toEqual(["open", "open"]);
  });
});

describe("a service", () => {
  test("has a span for each call that it makes", async () => {
    await stage.shop.run(async ({ furrow }) => {
      await using service = await furrow.openService<Traced>("market");
      await service.run.relay([]);
    });
    expect(treeOf(await stage.spans(2))).toBe("client market/relay { server market/relay }");
  });
});

describe("the metrics", () => {
  test("are two histograms of seconds, from 10 µs to 10 s", async () => {
    const counts = (): Record<string, number> =>
      Object.fromEntries(
        stage.collector.histograms
          .filter(({ attributes }) => attributes["rpc.method"] === "market/isHeld")
          .map(({ name, unit, count, attributes }) => [`${name} ${unit} ${attributes["rpc.method"]}`, count]),
      );
    for (let made = 0; made < 3; made++) await stage.call("isHeld");
    await stage.spans(6);
    await until(() => Object.values(counts()).filter((count) => count === 3).length === 2);
    expect(counts()).toEqual({
      "rpc.client.call.duration s market/isHeld": 3,
      "rpc.server.call.duration s market/isHeld": 3,
    });
    for (const { bounds, attributes } of stage.collector.histograms) {
      expect(bounds).toEqual([...bucketBounds]);
      expect(Object.keys(attributes)).not.toContain("furrow.actor.uuid");
    }
  });
});
