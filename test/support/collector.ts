/** A collector of OpenTelemetry's: takes traces and metrics by OTLP over HTTP, in JSON. */
import { until } from "./world.ts";

type Value = { readonly stringValue?: string; readonly intValue?: number; readonly doubleValue?: number };
type Pairs = readonly { readonly key: string; readonly value: Value }[];

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: "client" | "server" | "internal";
  readonly attributes: Readonly<Record<string, string | number>>;
  /** "unset", "ok" or "error". */
  readonly status: string;
  readonly message: string | undefined;
  readonly events: readonly string[];
  readonly scope: string;
}

export interface CollectedHistogram {
  readonly name: string;
  readonly unit: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly count: number;
  readonly bounds: readonly number[];
}

const kinds = ["internal", "internal", "server", "client"] as const;
const statuses = ["unset", "ok", "error"] as const;

export class Collector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  /** The newest of each. */
  readonly #histograms = new Map<string, CollectedHistogram>();
  readonly #server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const body: unknown = await request.json();
      if (new URL(request.url).pathname === "/v1/traces") this.#addTraces(body as Traces);
      else this.#addMetrics(body as Metrics);
      return Response.json({});
    },
  });

  /** Tells a program to export here. */
  get env(): Readonly<Record<string, string>> {
    return { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.#server.port}` };
  }

  get histograms(): CollectedHistogram[] {
    return Array.from(this.#histograms.values());
  }

  /** Waits until there are so many spans. */
  async take(count: number): Promise<CollectedSpan[]> {
    await until(() => this.spans.length >= count);
    return this.spans.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #addTraces({ resourceSpans }: Traces): void {
    for (const { scopeSpans } of resourceSpans)
      for (const { scope, spans } of scopeSpans)
        for (const span of spans)
          this.spans.push({
            traceId: span.traceId,
            spanId: span.spanId,
            parentSpanId: span.parentSpanId === "" ? undefined : span.parentSpanId,
            name: span.name,
            kind: kinds[span.kind] ?? "internal",
            attributes: recordOf(span.attributes),
            status: statuses[span.status?.code ?? 0] ?? "unset",
            message: span.status?.message,
            events: (span.events ?? []).map(({ name }) => name),
            scope: scope.name,
          });
  }

  #addMetrics({ resourceMetrics }: Metrics): void {
    for (const { scopeMetrics } of resourceMetrics)
      for (const { metrics } of scopeMetrics)
        for (const { name, unit, histogram } of metrics)
          for (const { attributes, count, explicitBounds } of histogram?.dataPoints ?? []) {
            const read = recordOf(attributes);
            const one = { name, unit, attributes: read, count: Number(count), bounds: explicitBounds };
            this.#histograms.set(JSON.stringify([name, read]), one);
          }
  }
}

function recordOf(pairs: Pairs): Record<string, string | number> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue ?? ""]),
  );
}

interface Traces {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly {
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly name: string;
        readonly kind: number;
        readonly attributes: Pairs;
        readonly status?: { readonly code?: number; readonly message?: string };
        readonly events?: readonly { readonly name: string }[];
      }[];
    }[];
  }[];
}

interface Metrics {
  readonly resourceMetrics: readonly {
    readonly scopeMetrics: readonly {
      readonly metrics: readonly {
        readonly name: string;
        readonly unit: string;
        readonly histogram?: {
          readonly dataPoints: readonly {
            readonly attributes: Pairs;
            readonly count: number | string;
            readonly explicitBounds: readonly number[];
          }[];
        };
      }[];
    }[];
  }[];
}
