/** Takes from an actor's sample what the page shows, without anything that an argument or result may be in. */
import type { Registration } from "../discovery/registration.ts";
import { noCounts } from "../inspect/histogram.ts";
import type { FunctionSample, Sample } from "../inspect/sample.ts";
import type { ActorInfo, ActorSample, DetailMessage, FunctionInfo } from "./protocol.ts";

/** How many functions of the selected actor the page gets. */
const maxListed = 200;

export function infoOf({ id, ...details }: Registration): ActorInfo {
  const { parent, startedAt, version, metadata, state, functions, addrs } = details;
  const { uuid, name, pid } = id;
  return { uuid, name, pid, parent, startedAt, version, metadata, state, functions, addrs };
}

/** `everyMs`: how often the actor is looked at. */
export function condensed(sample: Sample, everyMs: number): ActorSample {
  const { id, clockMs, sinceMs, rssBytes, cpuSeconds, callsWaiting } = sample;
  const functions = sample.functions.filter(isOfUser);
  return {
    uuid: id.uuid,
    clockMs,
    sinceMs,
    everyMs,
    rssBytes,
    cpuSeconds,
    callsInFlight: functions.reduce((sum, { inFlight }) => sum + inFlight, 0),
    callsWaiting,
    lagMs: sample.loop.lagMs,
    calls: functions.reduce((sum, { calls }) => sum + calls, 0),
    failed: functions.reduce((sum, { errors }) => sum + total(Object.values(errors)), 0),
    // a stream takes as long as its reader likes
    buckets: addedUp(functions.filter(({ verb }) => verb === "run")),
    streams: sample.streams.filter(isOfUser),
  };
}

export function detailOf({ id, clockMs, sinceMs, oldestCall, functions }: Sample): DetailMessage {
  const shown = functions.filter(isOfUser).toSorted((one, other) => other.calls - one.calls);
  return {
    type: "detail",
    uuid: id.uuid,
    clockMs,
    sinceMs,
    oldestCall,
    functions: shown.slice(0, maxListed).map(functionOf),
  };
}

function functionOf({ name, verb, calls, errors, inFlight, buckets }: FunctionSample): FunctionInfo {
  return { name, verb, calls, errors, inFlight, buckets };
}

/** Those that look are not to be looked at. */
function isOfUser({ name }: { readonly name: string }): boolean {
  return !name.startsWith("furrow.");
}

function addedUp(functions: readonly FunctionSample[]): number[] {
  const sums = noCounts();
  for (const { buckets } of functions) for (const [at, count] of buckets.entries()) sums[at]! += count;
  return sums;
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0);
}
