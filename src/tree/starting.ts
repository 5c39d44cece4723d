/** Starts, as the machine can take them: a place for each process between its spawn and its `ready`. */
import { startTimer } from "../deadline.ts";
import { SpawnError, TimeoutError } from "../errors.ts";
import { Admission, type Leave } from "./admission.ts";

/** A few more than the processors can work on: a start also waits for files, and for its parent. */
const places = 2 * navigator.hardwareConcurrency + 4;
/** A start that takes longer waits for something else than the machine, and makes room for the next. */
const slowStartMs = 2_000;

const admission = new Admission(places);

/** A place, with what is left of the start's time. */
export interface Place {
  readonly leftMs: number;
  leave(): void;
}

/** A place for a start that may take `timeoutMs`, if there is one at once. */
export function enterNow(timeoutMs: number): Place | undefined {
  const leave = admission.tryEnter();
  return leave && placed(leave, timeoutMs);
}

/**
 * Waits for a place; that is part of the start's time. An abort rejects with the signal's reason.
 *
 * @throws {SpawnError} when there was none in `timeoutMs`
 */
export async function enter(name: string, timeoutMs: number, signal: AbortSignal): Promise<Place> {
  const endsAt = performance.now() + timeoutMs;
  const late = new AbortController();
  const timer = startTimer(timeoutMs, () => {
    const text = `it was not begun within ${timeoutMs} ms, because ${places} others are starting`;
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
