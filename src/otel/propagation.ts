/**
 * The context of a trace: which one the running code belongs to, and how it gets to another actor and back out of a request.
 * The trace context of the W3C always travels, whether the program has registered a propagator or not, so that all actors
 * understand each other; what a registered one adds, such as baggage, travels with it.
 */
import { AsyncLocalStorage } from "node:async_hooks";

import {
  type Context,
  context,
  createContextKey,
  createTraceState,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type SpanContext,
  trace,
  TraceFlags,
} from "@opentelemetry/api";

import { asError, logger, type Meta, readMeta } from "../inspect/hooks.ts";

const log = logger("rpc");

/** Used where the program has no context manager: with one, OpenTelemetry's own context does the same. */
const own = new AsyncLocalStorage<Context>();
const probe = ROOT_CONTEXT.setValue(createContextKey("furrow probe"), true);

const traceparentForm = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The context of the running code. */
export function activeContext(): Context {
  const active = context.active();
  if (active !== ROOT_CONTEXT) return active;
  const stored = own.getStore();
  return stored === undefined || isManaged() ? active : stored;
}

/** Runs `work` in a context, with all that it awaits. */
export function inContext<T>(to: Context, work: () => T): T {
  return own.run(to, () => context.with(to, work));
}

/** Whether the program has registered a context manager. */
function isManaged(): boolean {
  return context.with(probe, () => context.active() === probe);
}

/** What has to travel with a request made in `from`; undefined if that belongs to no trace. */
export function metaOf(from: Context): Meta | undefined {
  const span = trace.getSpanContext(from);
  const ids = span !== undefined && isSpanContextValid(span) ? w3cMeta(span) : {};
  const carrier: Record<string, string> = {};
  attempt(() => propagation.inject(from, carrier));
  return readMeta({ ...carrier, ...ids }) ?? readMeta(ids);
}

/** The context that came with a request, in which nothing else is active. */
export function contextOf(meta: unknown): Context {
  const carrier = readMeta(meta);
  if (carrier === undefined) return ROOT_CONTEXT;
  const extracted = attempt(() => propagation.extract(ROOT_CONTEXT, carrier)) ?? ROOT_CONTEXT;
  if (trace.getSpanContext(extracted) !== undefined) return extracted;
  const span = spanContextOf(carrier);
  return span === undefined ? extracted : trace.setSpanContext(extracted, span);
}

/** What the program has set up must not make a request fail: an error is logged. */
export function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    log.warn?.(`OpenTelemetry: ${textOf(error)}`);
    return undefined;
  }
}

/** Getters of what a program throws may throw in turn. */
function textOf(error: unknown): string {
  try {
    return asError(error).message;
  } catch {
    return "an error that can't be shown";
  }
}

function w3cMeta({ traceId, spanId, traceFlags, traceState }: SpanContext): Record<string, string> {
  const flags = (traceFlags & 0xff).toString(16).padStart(2, "0");
  const traceparent = `00-${traceId}-${spanId}-${flags}`;
  const tracestate = traceState?.serialize() ?? "";
  return tracestate === "" ? { traceparent } : { traceparent, tracestate };
}

/** As W3C Trace Context, level 2, says: of a later version, what this one knows. */
function spanContextOf({ traceparent = "", tracestate }: Meta): SpanContext | undefined {
  const [, version, traceId, spanId, flags, rest] = traceparentForm.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  const span: SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(span) ? span : undefined;
}
