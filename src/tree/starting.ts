/** Paces the starts of processes to suit the machine: each occupies a place from its spawn until it's ready. */
import { startTimer } from "../deadline.ts";
import { SpawnError, TimeoutError } from "../errors.ts";
import { Admission, type Leave } from "./admission.ts";

/** A few more than the processors can handle at once, since a start also waits for files and for its parent. */
const places = 2 * navigator.hardwareConcurrency + 4;
/** A start that takes longer is waiting for something other than the processors, and gives up its place to the next. */
const slowStartMs = 2_000;

const admission = new Admission(places);

/** A place, and how much of the start's time is left. */
export interface Place {
  readonly leftMs: number;
  leave(): void;
}

/** Whether a process is starting, or waits for its place. */
export function isStarting(): boolean {
  return !admission.isIdle;
}

/** A place for a start that may take `timeoutMs`, if one is free now. */
export function enterNow(timeoutMs: number): Place | undefined {
  const leave = admission.tryEnter();
  return leave && placed(leave, timeoutMs);
}

/**
 * Waits for a place; the wait counts towards the start's time. On abort it rejects with the signal's reason.
 *
 * @throws {SpawnError} when no place becomes free within `timeoutMs`
 */
export async function enter(name: string, timeoutMs: number, signal: AbortSignal): Promise<Place> {
  const endsAt = performance.now() + timeoutMs;
  const late = new AbortController();
  const timer = startTimer(timeoutMs, () => {
    const text = `still queued after ${timeoutMs} ms: ${places} other actors are starting`;
    const cause = new TimeoutError("wait", text);
    late.abort(new SpawnError(`actor "${name}" did not start: ${text}`, { cause }));
  });
  try {
    const leave = await admission.enter(AbortSignal.any([signal, late.signal]));
    return placed(leave, Math.max(0, endsAt - performance.now()));
  } finally {
    clearTimeout(timer);
  }
}

function placed(leave: Leave, leftMs: number): Place {
  const timer = setTimeout(leave, slowStartMs);
  return {
    leftMs,
    leave() {
      clearTimeout(timer);
      leave();
    },
  };
}
