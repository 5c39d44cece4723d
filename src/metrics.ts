/**
 * Metrics of whole trees as text for Prometheus. Import it from `furrow/metrics`.
 *
 * Labels are names of actors and functions, never uuids: a restarted actor goes on where it was. Actors of one name are
 * added up.
 */
import type { Runtime } from "./actor/runtime.ts";
import { currentRuntime } from "./actor/current.ts";
import { Part } from "./actor/part.ts";
import { timing } from "./deadline.ts";
import { asError, FurrowError } from "./errors.ts";
import { contentTypes, type MetricsFormat, writeMetrics } from "./inspect/metrics-text.ts";
import { Accumulator, type Totals } from "./inspect/totals.ts";
import type { ActorReport } from "./inspect/sample.ts";
import { TreeReader } from "./inspect/tree-reader.ts";
import { outsideTasks } from "./rpc/task.ts";
import { getRoot } from "./tree/root.ts";

export interface MetricsOptions {
  /** 0 for any free port: the url has it. */
  readonly port: number;
  /** Where to listen; default 127.0.0.1. There is no login: keep it away from other networks. */
  readonly hostname?: string;
}

export interface MetricsServer extends AsyncDisposable {
  /** Where the metrics are: `http://127.0.0.1:9464/metrics`. */
  readonly url: string;
}

/**
 * The metrics of the tree that this actor belongs to, in Prometheus' text format 0.0.4, for programs that have an HTTP server. With
 * `openClient`, of all trees in the registry; a root that doesn't answer is then down, with what is below it unseen.
 *
 * The first call begins to measure, so its counters are at zero. The measuring goes on until ten minutes after the last
 * call, or the end of the actor or client. Calls at the same time share one look.
 *
 * @throws {NoRuntimeError} when this process has neither an actor nor a client
 * @throws {TransportClosedError} when the root is gone
 * @throws {PermissionDeniedError} when the root's policy doesn't let this actor call `furrow.samples`; of a client, when no root's
 *   does
 * @throws {TimeoutError} with stage "call" when the root doesn't answer within 3 s; of a client, with stage "lookup" when no
 *   registrar answers within 2 s
 */
export async function metricsText(): Promise<string> {
  const runtime = currentRuntime();
  const scraper = scraperOf(runtime);
  scraper.stay();
  try {
    return writeMetrics(await scraper.collect(), "prometheus");
  } finally {
    if (!runtime.signal.aborted) scraper.lapseAfter(timing.metricsLapseMs);
  }
}

function scraperOf(runtime: Runtime): Scraper {
  return scrapers.ensure(runtime, () => {
    const scraper = new Scraper(runtime);
    runtime.ending.onEnded(() => scraper.close());
    return scraper;
  });
}

const scrapers: Part<Scraper> = new Part();

/**
 * Serves the metrics of the tree that this actor belongs to over HTTP, at `/metrics`: in Prometheus' text format 0.0.4, or in
 * OpenMetrics 1.0 for those who accept it. With `openClient`, of all trees in the registry. Measures until the result is disposed,
 * or the actor or client ends.
 *
 * @throws {NoRuntimeError} when this process has neither an actor nor a client
 * @throws as `Bun.serve`, when it can't listen there
 */
export async function serveMetrics({ port, hostname = "127.0.0.1" }: MetricsOptions): Promise<MetricsServer> {
  const runtime = currentRuntime();
  const scraper = new Scraper(runtime);
  const server = outsideTasks(() =>
    Bun.serve({ port, hostname, fetch: async (request) => await answer(request, scraper) }),
  );
  const close = async (): Promise<void> => {
    stopFollowing();
    scraper.close();
    await server.stop(true);
  };
  const stopFollowing = closeWith(runtime, close);
  // so that the first scrape has something to show; if the root can't answer now, that says so
  await scraper.collect().catch(() => {});
  return { url: new URL("/metrics", server.url).href, [Symbol.asyncDispose]: close };
}

function closeWith(runtime: Runtime, close: () => Promise<void>): () => void {
  let isOver = false;
  runtime.ending.onEnded(() => {
    if (!isOver) void close();
  });
  return () => {
    isOver = true;
  };
}

async function answer(request: Request, scraper: Scraper): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname !== "/metrics") return new Response("the metrics are at /metrics\n", { status: 404 });
  if (request.method !== "GET" && request.method !== "HEAD")
    return new Response("use GET\n", { status: 405, headers: { allow: "GET, HEAD" } });
  const format = formatFor(request.headers.get("accept"));
  try {
    const text = writeMetrics(await scraper.collect(), format);
    return new Response(text, { headers: { "content-type": contentTypes[format] } });
  } catch (error) {
    const { code } = error instanceof FurrowError ? error : { code: asError(error).name };
    return new Response(`${code}: ${asError(error).message}\n`, { status: 503 });
  }
}

/** OpenMetrics for those who ask for it. Prometheus does, with a higher weight than for plain text. */
function formatFor(accept: string | null): MetricsFormat {
  return accept?.includes("application/openmetrics-text") === true ? "openmetrics" : "prometheus";
}

/** Where the reports come from. */
interface Trees extends Disposable {
  read(answerMs: number, slackMs: number): Promise<ActorReport[]>;
}

/** The tree that this actor belongs to. */
class OwnTree implements Trees {
  readonly #reader = new TreeReader(async () => await getRoot());

  async read(answerMs: number, slackMs: number): Promise<ActorReport[]> {
    return await this.#reader.read("root", answerMs, slackMs);
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }
}

/** Looks time and again, and adds up what it sees. */
class Scraper {
  readonly #trees: Trees;
  readonly #accumulator = new Accumulator();
  #collecting: Promise<Totals> | undefined;
  #lapse: Timer | undefined;

  constructor(runtime: Runtime) {
    this.#trees = runtime.isClient ? new (loadRegisteredTrees())() : new OwnTree();
  }

  /** Looks, or joins the look that is under way. */
  collect(): Promise<Totals> {
    this.#collecting ??= outsideTasks(async () => {
      try {
        return this.#accumulator.add(await this.#trees.read(timing.collectMs, timing.collectMs / 2));
      } finally {
        this.#collecting = undefined;
      }
    });
    return this.#collecting;
  }

  stay(): void {
    clearTimeout(this.#lapse);
  }

  /** Stops measuring after that time, unless `stay` is called before. */
  lapseAfter(ms: number): void {
    clearTimeout(this.#lapse);
    this.#lapse = setTimeout(() => this.close(), ms);
    this.#lapse.unref();
  }

  close(): void {
    clearTimeout(this.#lapse);
    this.#trees[Symbol.dispose]();
  }
}

/** Actors never need this file. */
function loadRegisteredTrees(): typeof import("./inspect/registered-trees.ts").RegisteredTrees {
  return (require("./inspect/registered-trees.ts") as typeof import("./inspect/registered-trees.ts"))
    .RegisteredTrees;
}
