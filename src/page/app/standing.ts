/** How an actor is, in a word. Pure. */
import type { ActorInfo } from "../protocol.ts";
import { duration } from "./format.ts";
import type { Activity } from "./history.ts";

export interface Standing {
  readonly kind: "ready" | "waiting" | "draining" | "silent" | "unseen" | "ended";
  readonly text: string;
}

/** An actor that is silent for so many samples is frozen, or too busy to answer. */
const missedSamples = 3;

export interface Clock {
  /** The page's. */
  readonly now: number;
  readonly seenSince: number;
}

interface Known {
  readonly info: { peek(): ActorInfo };
  readonly activity: { peek(): Activity | undefined };
  readonly trouble: { peek(): string | null };
  readonly ended: { peek(): { readonly how: string | undefined } | undefined };
}

export function standingOf(actor: Known, clock: Clock): Standing {
  const ended = actor.ended.peek();
  if (ended !== undefined) return { kind: "ended", text: ended.how ?? "ended" };
  const { state } = actor.info.peek();
  const silentMs = silenceOf(actor, clock);
  if (silentMs > 0) return { kind: "silent", text: `silent ${duration(silentMs)}` };
  const trouble = actor.trouble.peek();
  if (trouble !== null) return { kind: "unseen", text: "unseen" };
  if (state === "draining") return { kind: "draining", text: "draining" };
  return actor.activity.peek() === undefined
    ? { kind: "waiting", text: "ready" }
    : { kind: "ready", text: "ready" };
}

/** For how long its samples have been missing; 0 while they come. */
export function silenceOf(actor: Known, { now, seenSince }: Clock): number {
  const activity = actor.activity.peek();
  if (activity === undefined || actor.ended.peek() !== undefined) return 0;
  const silentMs = now - Math.max(activity.at, seenSince);
  return silentMs > missedSamples * activity.sample.everyMs + 500 ? silentMs : 0;
}
