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
/** With so many late loops, and such a share of all, the machine is the cause. */
const leastLate = 3;
const lateShare = 0.4;
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
  const live = Array.from(actors).filter(([, { ended }]) => ended.peek() === undefined);
  const counts = new Map<string, number>();
  for (const [, { info }] of live) {
    const { name } = info.peek();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  // "web" is enough where there's one
  const called: Called = (name, uuid) => ((counts.get(name) ?? 0) > 1 ? `${name}#${short(uuid)}` : name);
  const late = live.filter(([, { activity }]) => (activity.peek()?.lagMs ?? 0) >= longLagMs);
  const isMachineSlow = late.length >= leastLate && late.length >= live.length * lateShare;
  const found: Warning[] = [
    ...streams.flatMap((row) => ofStream(row, called) ?? []),
    ...live.flatMap(([uuid, actor]) => ofActor(uuid, actor, called, clock)),
    ...(isMachineSlow ? [ofMachine(late, live.length)] : late.map((one) => ofLoop(one, called))),
  ];
  return found.toSorted((one, other) => Number(one.level === "fair") - Number(other.level === "fair"));
}

/** So many loops don't block at once by chance. */
function ofMachine(late: readonly (readonly [string, Known])[], all: number): Warning {
  const [[uuid]] = late as [readonly [string, Known]];
  const most = Math.max(...late.map(([, { activity }]) => activity.peek()?.lagMs ?? 0));
  const text = `${late.length} of ${all} event loops were late, by up to ${ms(most)} ms: the machine is short of processor time`;
  return { key: "machine", level: "fair", text, uuid };
}

function ofLoop([uuid, { info, activity }]: readonly [string, Known], called: Called): Warning {
  const who = called(info.peek().name, uuid);
  const text = `${who}'s event loop was ${ms(activity.peek()?.lagMs)} ms late: something blocks it`;
  return { key: `lag ${uuid}`, level: "fair", text, uuid };
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

function ofActivity(uuid: string, who: string, { sample, rates, failed, calls }: Activity): Warning[] {
  const found: Warning[] = [];
  const add = (kind: string, text: string): void => {
    found.push({ key: `${kind} ${uuid}`, level: "fair", text, uuid });
  };
  if ((rates?.cpu ?? 0) >= busyShare) add("cpu", `${who} uses ${percent(rates!.cpu)} of a core`);
  if (failed >= leastFailed && failed >= calls * failedShare)
    add("failed", `${count(failed)} of ${count(calls)} calls of ${who} failed in the last minute`);
  if (sample.callsWaiting >= manyWaiting)
    add("waiting", `${count(sample.callsWaiting)} calls wait for their turn in ${who}`);
  return found;
}
