/** Metrics as text, for Prometheus and what reads the same: format 0.0.4, or OpenMetrics 1.0. */
import { bucketBounds } from "./histogram.ts";
import type { Histograms, Sums, Totals } from "./totals.ts";

export type MetricsFormat = "prometheus" | "openmetrics";

export const contentTypes: Readonly<Record<MetricsFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

interface Family {
  /** A counter's ends with `_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export function writeMetrics(totals: Totals, format: MetricsFormat): string {
  const text = new Text(format);
  text.histogram(
    {
      name: "furrow_server_call_duration_seconds",
      help: "How long calls, streams and dialogs took where they were served.",
      labels: ["actor", "method"],
    },
    totals.served,
  );
  text.gauge(
    {
      name: "furrow_server_calls_in_flight",
      help: "Calls, streams and dialogs that run or wait for their turn.",
      labels: ["actor", "method"],
    },
    totals.inFlight,
  );
  text.counter(
    {
      name: "furrow_server_call_errors_total",
      help: "Calls, streams and dialogs that failed, by the code of the error that the caller got.",
      labels: ["actor", "method", "code"],
    },
    totals.servedErrors,
  );
  text.histogram(
    {
      name: "furrow_client_call_duration_seconds",
      help: "How long calls, streams and dialogs of an actor took from the view of who made them.",
      labels: ["caller", "actor", "method"],
    },
    totals.asked,
  );
  text.counter(
    {
      name: "furrow_client_call_errors_total",
      help: "Calls, streams and dialogs that failed, by the code of the error that they rejected with.",
      labels: ["caller", "actor", "method", "code"],
    },
    totals.askedErrors,
  );
  text.counter(
    {
      name: "furrow_stream_items_total",
      help: "Messages of streams and dialogs. Side: whether the actor serves the function or called it.",
      labels: ["actor", "method", "side", "direction"],
    },
    totals.items,
  );
  text.counter(
    {
      name: "furrow_stream_credit_exhausted_seconds_total",
      help: "How long writers of streams and dialogs have waited for their readers.",
      labels: ["actor", "method", "side"],
    },
    totals.stalledSeconds,
  );
  text.gauge({ name: "furrow_peers", help: "Connected actors.", labels: ["actor"] }, totals.peers);
  text.counter(
    {
      name: "furrow_bytes_total",
      help: "Bytes of all connections to other actors.",
      labels: ["actor", "direction"],
    },
    totals.bytes,
  );
  text.counter(
    {
      name: "furrow_actor_restarts_total",
      help: "How often an actor was started again.",
      labels: ["actor"],
    },
    totals.restarts,
  );
  text.gauge(
    {
      name: "furrow_actor_up",
      help: "How many processes of the name answered: 0 for one that is frozen or being restarted.",
      labels: ["actor"],
    },
    totals.up,
  );
  text.gauge(
    {
      name: "furrow_registry_actors",
      help: "Actors that are registered with this registrar.",
      labels: ["actor"],
    },
    totals.registered,
  );
  text.counter(
    {
      name: "furrow_registry_lookups_total",
      help: "Lookups by who answered them.",
      labels: ["actor", "source"],
    },
    totals.lookups,
  );
  text.gauge(
    { name: "process_resident_memory_bytes", help: "Resident memory in bytes.", labels: ["actor"] },
    totals.rssBytes,
  );
  text.counter(
    { name: "process_cpu_seconds_total", help: "Processor time, user and system.", labels: ["actor"] },
    totals.cpuSeconds,
  );
  text.gauge(
    {
      name: "furrow_event_loop_lag_seconds",
      help: "How late timers were at the most since the last scrape.",
      labels: ["actor"],
    },
    totals.lagSeconds,
  );
  return text.end();
}

class Text {
  readonly #isOpenMetrics: boolean;
  #text = "";

  constructor(format: MetricsFormat) {
    this.#isOpenMetrics = format === "openmetrics";
  }

  counter(family: Family, sums: Sums): void {
    this.#sums(family, "counter", sums);
  }

  gauge(family: Family, sums: Sums): void {
    this.#sums(family, "gauge", sums);
  }

  histogram(family: Family, { values }: Histograms): void {
    this.#family(family, "histogram", values.size);
    for (const [key, { buckets, sumSeconds }] of values) {
      const labels = labelsOf(family, key);
      let below = 0;
      for (const [at, count] of buckets.entries()) {
        below += count;
        const bound = bucketBounds[at];
        const le = bound === undefined ? "+Inf" : this.#bound(bound);
        this.#sample(`${family.name}_bucket`, `${labels},le="${le}"`, below);
      }
      this.#sample(`${family.name}_sum`, labels, sumSeconds);
      this.#sample(`${family.name}_count`, labels, below);
    }
  }

  end(): string {
    return this.#isOpenMetrics ? `${this.#text}# EOF\n` : this.#text;
  }

  #sums(family: Family, type: "counter" | "gauge", { values }: Sums): void {
    this.#family(family, type, values.size);
    for (const [key, value] of values) this.#sample(family.name, labelsOf(family, key), value);
  }

  #family({ name, help }: Family, type: string, size: number): void {
    if (size === 0) return;
    // OpenMetrics names the family of a counter without the ending of its samples
    const shown = this.#isOpenMetrics && type === "counter" ? name.replace(/_total$/, "") : name;
    this.#text += `# HELP ${shown} ${help}\n# TYPE ${shown} ${type}\n`;
  }

  #sample(name: string, labels: string, value: number): void {
    this.#text += `${name}{${labels}} ${value}\n`;
  }

  /** OpenMetrics wants a bound to be written as a float, and always the same way. */
  #bound(bound: number): string {
    return this.#isOpenMetrics && Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
  }
}

function labelsOf({ labels }: Family, key: string): string {
  const values = key.split("\n");
  return labels.map((label, at) => `${label}="${escaped(values[at] ?? "")}"`).join(",");
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}
