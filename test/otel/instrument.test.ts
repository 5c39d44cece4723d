/** Instrumenting a process, and what comes over the wire, from anyone. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { context, propagation, type TextMapPropagator, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

import { currentRuntime } from "../../src/actor/current.ts";
import { findActor, getRoot, onLog, openRootActor, type RootOptions } from "../../src/index.ts";
import { logger, type LogRecord } from "../../src/log.ts";
import { instrument } from "../../src/otel.ts";
import { Kind } from "../../src/wire/messages.ts";
import { oddKey } from "../fixtures/traced.ts";
import { type RawMessage, RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

type Traced = typeof import("../fixtures/traced.ts");

const traced = new URL("../fixtures/traced.ts", import.meta.url);
const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";
const traceparent = `00-${traceId}-${spanId}-01`;

let exporter: InMemorySpanExporter;
let tracerProvider: TracerProvider;

beforeEach(() => {
  exporter = new InMemorySpanExporter();
  tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
});

afterEach(() => {
  trace.disable();
  context.disable();
  propagation.disable();
});

/** The options of an actor that calls itself, over a link in memory. */
function selfOptions(world: World): RootOptions {
  return { ...world.options, name: "self", enableModules: [traced] };
}

function take(): ReadableSpan[] {
  const spans = [...exporter.getFinishedSpans()];
  exporter.reset();
  return spans;
}

/** The spans of one call: the server's is below the client's. */
function expectPair([server, client, ...more]: readonly ReadableSpan[]): void {
  expect(more).toEqual([]);
  expect(server!.parentSpanContext?.spanId).toBe(client!.spanContext().spanId);
  expect(server!.spanContext().traceId).toBe(client!.spanContext().traceId);
}

describe("instrument", () => {
  test("may come before the actor and after it, and ends when it's disposed", async () => {
    await using world = new World();
    const first = instrument({ tracerProvider });
    await using _ = await openRootActor(selfOptions(world));
    await using portal = await getRoot<Traced>();
    await portal.run.isHeld();
    expectPair(take());
    first[Symbol.dispose]();
    expect(currentRuntime().observer).toBeUndefined();
    await portal.run.isHeld();
    expect(take()).toEqual([]);
    using _second = instrument({ tracerProvider });
    await portal.run.isHeld();
    expectPair(take());
  });

  test("takes the global providers, even those that are registered later", async () => {
    await using world = new World();
    using _ = instrument();
    trace.setGlobalTracerProvider(tracerProvider);
    await using _actor = await openRootActor(selfOptions(world));
    await using portal = await getRoot<Traced>();
    await portal.run.isHeld();
    expectPair(take());
  });

  test("holds for the actor after the one that has ended", async () => {
    await using world = new World();
    using _ = instrument({ tracerProvider });
    for (let opened = 0; opened < 2; opened++) {
      await using _actor = await openRootActor(selfOptions(world));
      await using portal = await getRoot<Traced>();
      await portal.run.isHeld();
      expectPair(take());
    }
  });

  test("ends the spans of requests in flight when it's disposed, and the requests go on", async () => {
    await using world = new World();
    const instrumented = instrument({ tracerProvider });
    await using _ = await openRootActor(selfOptions(world));
    await using portal = await getRoot<Traced>();
    const held = portal.run.hold();
    await until(async () => await portal.run.isHeld());
    take();
    instrumented[Symbol.dispose]();
    expectPair(take().toReversed());
    await portal.run.letGo();
    await held;
    expect(take()).toEqual([]);
  });

  test("throws where it holds already", () => {
    {
      using _ = instrument({ tracerProvider });
      expect(() => instrument()).toThrow(
        "furrow is instrumented already: dispose the first instrument() before",
      );
    }
    instrument()[Symbol.dispose]();
  });

  test("adds trace_id and span_id to the records of the log until it's disposed", async () => {
    const ids: unknown[] = [];
    const stop = onLog(({ trace_id, span_id }) => ids.push([trace_id, span_id]));
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const span = trace.wrapSpanContext({ traceId, spanId, traceFlags: 1 });
    const note = (): void =>
      context.with(trace.setSpan(context.active(), span), () => logger("rpc").warn?.("x"));
    const instrumented = instrument({ tracerProvider });
    note();
    logger("rpc").warn?.("outside");
    instrumented[Symbol.dispose]();
    note();
    stop();
    expect(ids).toEqual([
      [traceId, spanId],
      [undefined, undefined],
      [undefined, undefined],
    ]);
  });
});

describe("a connection", () => {
  test("belongs to no trace, not even to that of the call that made it", async () => {
    await using world = new World();
    await world.actor("registrar");
    const other = await world.actor("other");
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    process.env["FURROW_LOG"] = "channel=debug";
    using stack = new DisposableStack();
    stack.defer(() => delete process.env["FURROW_LOG"]);
    const records: LogRecord[] = [];
    stack.defer(onLog((record) => records.push(record)));
    stack.use(instrument({ tracerProvider }));
    await using _ = await openRootActor(selfOptions(world));
    const span = trace.wrapSpanContext({ traceId, spanId, traceFlags: 1 });
    await context.with(trace.setSpan(context.active(), span), async () => {
      await using portal = await findActor("other", { raiseOnNone: true });
      const end = portal.closed;
      await other.kill();
      await end;
    });
    const ended = records.find(({ msg }) => msg.endsWith(": ended: peer-died"));
    expect(ended).toMatchObject({ layer: "channel", level: "debug" });
    expect(ended).not.toHaveProperty("trace_id");
  });
});

describe("the context of a call", () => {
  /** Makes a call that has two spans, and returns its result. */
  async function callSelf(fn: "activeSpan" | "odd" | "isHeld"): Promise<unknown> {
    await using world = new World();
    using _ = instrument({ tracerProvider });
    await using _actor = await openRootActor(selfOptions(world));
    await using portal = await getRoot<Traced>();
    return await portal.run[fn]();
  }

  test("is the program's own where it has a context manager", async () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const active = await tracerProvider
      .getTracer("test")
      .startActiveSpan("mine", async (span) => await callSelf("activeSpan").finally(() => span.end()));
    const [server, client, mine] = take();
    expect(server!.spanContext().spanId).toBe(String(active));
    expectPair([server!, client!]);
    expect(client!.parentSpanContext?.spanId).toBe(mine!.spanContext().spanId);
  });

  /** A propagator that takes along "odd", and a text of this length. */
  function odd(length: number): TextMapPropagator {
    return {
      fields: () => ["odd", "text"],
      inject: (_, carrier, setter) => {
        setter.set(carrier, "odd", "1");
        setter.set(carrier, "text", "x".repeat(length));
      },
      extract: (from, carrier, getter) => from.setValue(oddKey, getter.get(carrier, "odd")),
    };
  }

  test.each([
    ["takes along what a propagator of the program's own adds", 10, "1"],
    ["takes along the trace alone if that's too large", 20_000, undefined],
  ])("%s", async (_, length, expected) => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(odd(length));
    expect(await callSelf("odd")).toBe(expected);
    expectPair(take());
  });

  test("survives a propagator that throws", async () => {
    const fail = (): never => {
      throw new Error("a faulty propagator");
    };
    propagation.setGlobalPropagator({ fields: () => [], inject: fail, extract: fail });
    expect(await callSelf("isHeld")).toBe(false);
    expectPair(take());
  });

  test("doesn't matter to a call whose spans can't be made or ended", async () => {
    for (const broken of ["onStart", "onEnd"] as const) {
      const processor = new SimpleSpanProcessor({ exporter });
      processor[broken] = () => {
        throw new Error("a faulty processor");
      };
      tracerProvider = new TracerProvider({ spanProcessors: [processor] });
      expect(await callSelf("isHeld")).toBe(false);
    }
  });
});

describe("on the wire", () => {
  test("a call, a stream and a dialog carry their span while the process is instrumented, and nothing else", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const identity = { name: "raw", addrs: ["unix:///nowhere/at/all.sock"] as const };
    await using peer = await RawPeer.register(actor.registryAddrs[0]!, identity);
    await using portal = await findActor("raw", { raiseOnNone: true });
    const requests = async (): Promise<RawMessage[]> => {
      const { run, stream, open } = portal;
      const ended = [run["f"]("a"), run["f"](new Map()), stream["g"]().next(), open["h"]()];
      const messages: RawMessage[] = [];
      for (const kind of [Kind.call, Kind.call, Kind.stream, Kind.open]) {
        const message = await peer.take(kind);
        messages.push(message);
        peer.send([Kind.result, message[1]]);
      }
      await Promise.all(ended);
      return messages;
    };
    const lengths = [4, 5, 7, 7];
    expect((await requests()).map(({ length }) => length)).toEqual(lengths);
    const instrumented = instrument({ tracerProvider });
    const sent = await requests();
    instrumented[Symbol.dispose]();
    const spans = take().map((span) => span.spanContext());
    const expected = spans.map((span) => ({ traceparent: `00-${span.traceId}-${span.spanId}-01` }));
    expect(new Set(sent.map((message) => message.at(-1)))).toEqual(new Set(expected));
    expect(sent.map(({ length }) => length)).toEqual([6, 6, 8, 8]);
    expect((await requests()).map(({ length }) => length)).toEqual(lengths);
  });

  /** What a peer may send in the field, and the trace that the request belongs to then. */
  const fields: readonly [what: string, meta: unknown, parent: string | undefined][] = [
    ["a trace context", { traceparent, tracestate: "vendor=1" }, spanId],
    ["one of a later version", { traceparent: `${traceparent.replace("00", "42")}-more` }, spanId],
    ["one beside values of other types", { traceparent, deadlineMs: 5, deep: { deep: [1] } }, spanId],
    ["nil", null, undefined],
    ["a text", traceparent, undefined],
    ["a number", 5, undefined],
    ["a list", [traceparent], undefined],
    ["a binary", new Uint8Array(10), undefined],
    ["a map of no texts", { traceparent: 1, tracestate: true }, undefined],
    ["a text that is no context", { traceparent: "x" }, undefined],
    ["a context in capitals", { traceparent: traceparent.toUpperCase() }, undefined],
    ["a context of zeros", { traceparent: `00-${"0".repeat(32)}-${spanId}-01` }, undefined],
    ["a span of zeros", { traceparent: `00-${traceId}-${"0".repeat(16)}-01` }, undefined],
    ["a forbidden version", { traceparent: traceparent.replace("00", "ff") }, undefined],
    ["version 0 with more behind", { traceparent: `${traceparent}-more` }, undefined],
    [
      "too many entries",
      { traceparent, ...Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`e${n}`, ""])) },
      undefined,
    ],
    ["too long a text", { traceparent, baggage: "x".repeat(1_000_000) }, undefined],
    ["a name that objects have", { __proto__: null, constructor: "x", toString: "x" }, undefined],
  ];

  test("any peer's field leaves the request as it is; a field that says nothing begins a new trace", async () => {
    await using world = new World();
    using _ = instrument({ tracerProvider });
    await using actor = await openRootActor(selfOptions(world));
    await using peer = await RawPeer.connect(actor.registryAddrs[0]!, { name: "raw" });
    for (const [what, meta, parent] of fields) {
      for (const [verb, request] of [
        ["run", [Kind.call, 1, "isHeld", [], false, meta]],
        ["stream", [Kind.stream, 2, "count", [0], false, 1, 1_000, meta]],
      ] as const) {
        peer.sendAll(request);
        expect((await peer.take(Kind.result))[1], what).toBe(request[1]);
        const [span, ...more] = take();
        expect(more, what).toEqual([]);
        expect(span!.attributes["furrow.verb"], what).toBe(verb);
        expect(span!.parentSpanContext?.spanId, what).toBe(parent);
        expect(span!.spanContext().traceId === traceId, what).toBe(parent !== undefined);
      }
    }
    expect(peer.isOpen).toBeTrue();
  });

  test("a field that nobody reads is no violation, whatever it is", async () => {
    await using world = new World();
    await using actor = await openRootActor(selfOptions(world));
    await using peer = await RawPeer.connect(actor.registryAddrs[0]!, { name: "raw" });
    for (const [what, meta] of fields) {
      peer.sendAll([Kind.call, 1, "isHeld", [], false, meta]);
      expect(await peer.take(Kind.result), what).toEqual([Kind.result, 1, false]);
    }
    expect(peer.isOpen).toBeTrue();
  });
});
