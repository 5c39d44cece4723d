/**
 * Spans and durations of an actor's requests, by OpenTelemetry's conventions for RPC: a client span at the caller of a call,
 * stream or dialog, and below it a server span at the callee.
 */
import {
  type Attributes,
  type Context,
  type Histogram,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";

import {
  type ActorId,
  asError,
  askedCode,
  ContextCancelledError,
  describeActor,
  type ExchangeEnds,
  type Failure,
  type Following,
  isRuntimeName,
  logger,
  type Meta,
  otherName,
  RemoteActorError,
  type Runtime,
  servedCode,
  type Verb,
  type Watcher,
} from "../inspect/hooks.ts";
import { activeContext, attempt, contextOf, inContext, metaOf } from "./propagation.ts";

const log = logger("rpc");

/** `rpc.system.name`, and the name of a span whose method isn't known. */
const system = "furrow";

/** What requests are recorded with. */
export interface Instruments {
  readonly tracer: Tracer;
  readonly clientDuration: Histogram;
  readonly serverDuration: Histogram;
}

/** The requests of one actor. Disposing it ends the spans of those in flight. */
export class Requests implements Watcher, Disposable {
  readonly #runtime: Runtime;
  readonly #instruments: Instruments;
  readonly #open = new Set<Traced>();

  constructor(runtime: Runtime, instruments: Instruments) {
    this.#runtime = runtime;
    this.#instruments = instruments;
  }

  serves(
    verb: Verb,
    name: string,
    peer: ActorId,
    _ends: ExchangeEnds | undefined,
    meta: unknown,
  ): Following | undefined {
    const { dispatcher, id } = this.#runtime;
    if (dispatcher.isOwn(name)) return undefined;
    const attributes = { ...attributesOf(verb, id), "client.address": peer.name };
    const method = `${id.name}/${name}`;
    // peers choose the name: what isn't exposed must not make a span or a metric of its own each
    const isKnown = dispatcher.verbOf(name) !== undefined;
    return this.#begin({
      verb,
      caller: peer,
      method: isKnown ? method : otherName,
      attributes: isKnown ? attributes : { ...attributes, "rpc.method_original": method.slice(0, 255) },
      parent: contextOf(meta),
      kind: SpanKind.SERVER,
      duration: this.#instruments.serverDuration,
      codeOf: servedCode,
      what: `for ${describeActor(peer)}`,
    });
  }

  asks(verb: Verb, name: string, peer: ActorId): Following | undefined {
    if (isRuntimeName(name)) return undefined;
    return this.#begin({
      verb,
      caller: this.#runtime.id,
      method: `${peer.name}/${name}`,
      attributes: attributesOf(verb, peer),
      parent: activeContext(),
      kind: SpanKind.CLIENT,
      duration: this.#instruments.clientDuration,
      codeOf: askedCode,
      what: `at ${describeActor(peer)}`,
    });
  }

  stalls(): void {}

  [Symbol.dispose](): void {
    for (const traced of this.#open) traced.abandon();
    this.#open.clear();
  }

  #begin(request: Request): Traced | undefined {
    const onEnd = (ended: Traced): void => void this.#open.delete(ended);
    const traced = attempt(() => new Traced(request, this.#instruments.tracer, onEnd));
    if (traced !== undefined) this.#open.add(traced);
    return traced;
  }
}

interface Request {
  readonly verb: Verb;
  readonly caller: ActorId;
  readonly method: string;
  readonly attributes: Attributes;
  readonly parent: Context;
  readonly kind: SpanKind;
  readonly duration: Histogram;
  readonly codeOf: (error: unknown) => string;
  /** For the log. */
  readonly what: string;
}

/** A request with its span. */
class Traced implements Following {
  readonly meta: Meta | undefined;
  readonly #request: Request;
  readonly #span: Span;
  readonly #context: Context;
  readonly #onEnd: (ended: Traced) => void;
  readonly #since = performance.now();

  constructor(request: Request, tracer: Tracer, onEnd: (ended: Traced) => void) {
    const { method, attributes, kind, parent } = request;
    const name = method === otherName ? system : method;
    this.#span = tracer.startSpan(
      name,
      { kind, attributes: { ...attributes, "rpc.method": method } },
      parent,
    );
    this.#context = trace.setSpan(parent, this.#span);
    this.meta = kind === SpanKind.CLIENT ? metaOf(this.#context) : undefined;
    this.#request = request;
    this.#onEnd = onEnd;
  }

  run<T>(work: () => T): T {
    return inContext(this.#context, work);
  }

  end(failure?: Failure): void {
    const ms = performance.now() - this.#since;
    const code = failure === undefined ? undefined : this.#codeOf(failure);
    this.#onEnd(this);
    if (failure !== undefined && code !== undefined)
      attempt(() => recordFailure(this.#span, asError(failure.error), code));
    this.abandon();
    attempt(() => this.#measure(ms, code));
    if (log.debug === undefined) return;
    const { method, what } = this.#request;
    const text = `${method} ${what}: ${code ?? "done"} after ${ms.toFixed(2)} ms`;
    inContext(this.#context, () => log.debug?.(text));
  }

  /** Ends the span of a request that goes on. */
  abandon(): void {
    attempt(() => this.#span.end());
  }

  #measure(ms: number, code: string | undefined): void {
    const { method, duration, attributes } = this.#request;
    const labels = {
      "rpc.system.name": system,
      "rpc.method": method,
      "server.address": attributes["server.address"],
      ...(code !== undefined && { "error.type": code }),
    };
    duration.record(ms / 1_000, labels, this.#context);
  }

  /** Undefined for a reader that has left its stream or dialog early, as it may. */
  #codeOf({ error }: Failure): string | undefined {
    const { verb, caller, codeOf } = this.#request;
    const isLeft =
      verb !== "run" && error instanceof ContextCancelledError && error.canceller.uuid === caller.uuid;
    return isLeft ? undefined : codeOf(error);
  }
}

function attributesOf(verb: Verb, callee: ActorId): Attributes {
  return {
    "rpc.system.name": system,
    "server.address": callee.name,
    "furrow.actor.uuid": callee.uuid,
    "furrow.verb": verb,
  };
}

function recordFailure(span: Span, error: Error, code: string): void {
  span.setAttribute("error.type", code);
  if (error instanceof RemoteActorError) span.setAttribute("furrow.relay.hops", error.relayPath.length - 1);
  span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
}
