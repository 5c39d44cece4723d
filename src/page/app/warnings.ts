/** What deserves a look, computed from what the page knows. Each says which actor, what, and for how long. Pure. */
import type { ActorInfo } from "../protocol.ts";
import { count, duration, ms, percent, short } from "./format.ts";
import type { Activity } from "./history.ts";
import { type Clock, silenceOf } from "./standing.ts";
import type { StreamRow } from "./streams.ts";

export interface Warning {
  /** Stays the same while it's about the same. */
  readonly key: string;
  readonly level: "bad" | "fair";
  readonly text: string;
  /** The actor that it's about. */
  readonly uuid: string;
}

/** From when on a reader that doesn't read is worth a word. */
const unreadMs = 5_000;
/** A loop that was late by so much has kept calls waiting. */
const longLagMs = 250;
const busyShare = 0.9;
const manyWaiting = 10;
/** Failed calls of the last minute, and their share of all, from which on they are worth a word. */
const leastFailed = 5;
const failedShare = 0.05;

interface Known {
  readonly info: { peek(): ActorInfo };
  readonly activity: { peek(): Activity | undefined };
  readonly trouble: { peek(): string | null };
  readonly ended: { peek(): { readonly how: string | undefined } | undefined };
}

/** The worst first. */
export function warningsOf(
  actors: ReadonlyMap<string, Known>,
  streams: readonly StreamRow[],
  clock: Clock,
): Warning[] {
  const counts = new Map<string, number>();
  for (const { info, ended } of actors.values()) {
    if (ended.peek() !== undefined) continue;
    const { name } = info.peek();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  // "web" is enough where there's one
  const called = (name: string, uuid: string): string =>
    (counts.get(name) ?? 0) > 1 ? `${name}#${short(uuid)}` : name;
  const found: Warning[] = streams.flatMap((row) => ofStream(row, called) ?? []);
  for (const [uuid, actor] of actors) {
    if (actor.ended.peek() === undefined) found.push(...ofActor(uuid, actor, called, clock));
  }
  return found.toSorted((one, other) => Number(one.level === "fair") - Number(other.level === "fair"));
}

type Called = (name: string, uuid: string) => string;

function ofStream(
  { key, from, to, name, waiting, waitedMs, queued, creditLeft }: StreamRow,
  called: Called,
): Warning | undefined {
  if (waiting !== "writer" || waitedMs < unreadMs) return undefined;
  const who = called(from.name, from.uuid);
  const left = `${count(creditLeft ?? 0)} messages of credit left, ${count(queued)} waiting`;
  return {
    key: `stream ${key}`,
    level: "bad",
    text: `${who} has read nothing from ${to.name}.${name} for ${duration(waitedMs)} (${left})`,
    uuid: from.uuid,
  };
}

function ofActor(uuid: string, actor: Known, called: Called, clock: Clock): Warning[] {
  const who = called(actor.info.peek().name, uuid);
  const trouble = actor.trouble.peek();
  const silentMs = silenceOf(actor, clock);
  if (silentMs > 0)
    return [
      {
        key: `silent ${uuid}`,
        level: "bad",
        text: `${who} hasn't answered for ${duration(silentMs)}: it's frozen, or too busy`,
        uuid,
      },
    ];
  if (trouble !== null) return [{ key: `trouble ${uuid}`, level: "fair", text: `${who}: ${trouble}`, uuid }];
  const activity = actor.activity.peek();
  return activity === undefined ? [] : ofActivity(uuid, who, activity);
}

function ofActivity(uuid: string, who: string, { sample, rates, failed, calls, lagMs }: Activity): Warning[] {
  const found: Warning[] = [];
  const add = (kind: string, text: string): void => {
    found.push({ key: `${kind} ${uuid}`, level: "fair", text, uuid });
  };
  if (lagMs >= longLagMs) add("lag", `${who}'s event loop was blocked for ${ms(lagMs)} ms`);
  if ((rates?.cpu ?? 0) >= busyShare) add("cpu", `${who} uses ${percent(rates!.cpu)} of a core`);
  if (failed >= leastFailed && failed >= calls * failedShare)
    add("failed", `${count(failed)} of ${count(calls)} calls of ${who} failed in the last minute`);
  if (sample.callsWaiting >= manyWaiting)
    add("waiting", `${count(sample.callsWaiting)} calls wait for their turn in ${who}`);
  return found;
}
