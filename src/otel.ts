/**
 * Traces and metrics of an actor's calls, streams and dialogs with OpenTelemetry. Import it from `furrow/otel`; it needs the
 * package `@opentelemetry/api`, and an SDK that the program sets up as usual.
 */
import { type MeterProvider, metrics, ROOT_CONTEXT, trace, type TracerProvider } from "@opentelemetry/api";

import {
  bucketBounds,
  leaveWith,
  type LogTrace,
  Observation,
  type Runtime,
  setLogTrace,
  watchRuntime,
} from "./inspect/hooks.ts";
import { activeContext, inContext } from "./otel/propagation.ts";
import { type Instruments, Requests } from "./otel/requests.ts";

const scope = "furrow";
const schemaUrl = "https://opentelemetry.io/schemas/1.45.0";

/** Where `instrument` sends what it records. */
export interface InstrumentOptions {
  /** Default: the global one, whenever that is registered. */
  readonly tracerProvider?: TracerProvider;
  /** Default: the global one, which must be registered by then. */
  readonly meterProvider?: MeterProvider;
}

let isInstrumented = false;

/**
 * Traces every call, stream and dialog that this process makes or serves, from now on, and measures how long each takes. Call
 * it in every process, at the root as in the actors' modules, before the first request that matters; it may come before the
 * actor boots.
 *
 * - A client span at the caller and a server span below it at the callee, even if that has no context manager or propagator
 *   registered. What a served function calls is below its server span. A stream's or dialog's spans end with it.
 * - Histograms `rpc.client.call.duration` and `rpc.server.call.duration`, in seconds.
 * - The runtime's log gets `trace_id` and `span_id` in its records.
 *
 * furrow's own functions, lookups and messages aren't traced. While nothing is instrumented, calls cost what they would cost
 * without this.
 *
 * @returns takes it all back when it's disposed; spans of requests in flight end then
 * @throws {Error} when the process is instrumented already
 */
export function instrument(options: InstrumentOptions = {}): Disposable {
  if (isInstrumented)
    throw new Error("furrow is instrumented already: dispose the first instrument() before");
  isInstrumented = true;
  const stack = new DisposableStack();
  stack.defer(() => (isInstrumented = false));
  const instruments = instrumentsOf(options);
  const watched = new Map<Runtime, Requests>();
  stack.defer(() => {
    for (const [runtime, requests] of watched) {
      Observation.of(runtime).remove(requests);
      requests[Symbol.dispose]();
    }
  });
  // one at a time: a runtime that has ended needs nothing any more
  stack.defer(
    watchRuntime((runtime) => {
      watched.clear();
      const requests = new Requests(runtime, instruments);
      watched.set(runtime, requests);
      Observation.of(runtime).add(requests);
    }),
  );
  stack.defer(leaveWith((work) => inContext(ROOT_CONTEXT, work)));
  stack.defer(setLogTrace(logTrace));
  return stack;
}

function instrumentsOf(options: InstrumentOptions): Instruments {
  const tracers = options.tracerProvider ?? trace.getTracerProvider();
  const meters = options.meterProvider ?? metrics.getMeterProvider();
  const meter = meters.getMeter(scope, undefined, { schemaUrl });
  const advice = { explicitBucketBoundaries: [...bucketBounds] };
  const histogram = (name: string, description: string): Instruments["clientDuration"] =>
    meter.createHistogram(name, { description, unit: "s", advice });
  return {
    tracer: tracers.getTracer(scope, undefined, { schemaUrl }),
    clientDuration: histogram(
      "rpc.client.call.duration",
      "Duration of calls, streams and dialogs at the caller.",
    ),
    serverDuration: histogram(
      "rpc.server.call.duration",
      "Duration of calls, streams and dialogs at the callee.",
    ),
  };
}

function logTrace(): LogTrace | undefined {
  const span = trace.getSpanContext(activeContext());
  return span === undefined ? undefined : { trace_id: span.traceId, span_id: span.spanId };
}
