/**
 * Decides when messages sent in one turn of the event loop are written: at the end of the turn, one flush per sender,
 * in the order of their first messages.
 *
 * The flush comes sooner when a received chunk has been processed and no other sender can have anything to send:
 * answers that are ready at once leave at once, without a tick of their own (row `rpc.unix`).
 */

import { asError } from "../errors.ts";
import { logger } from "../log.ts";

const log = logger("channel");

/** Collects messages until it is flushed. */
export interface Sender {
  /** True while a flush is due; maintained here. */
  waits: boolean;
  flush(): void;
}

let waiting: Sender[] = [];
let scheduled = false;
let inChunk = false;

/** Flushes `sender` when the turn ends. */
export function flushLater(sender: Sender): void {
  if (sender.waits) return;
  sender.waits = true;
  waiting.push(sender);
  if (!inChunk) schedule();
}

/** Marks a received chunk as being processed, until `endChunk`. */
export function beginChunk(): void {
  inChunk = true;
}

/** `settled`: `sender` has answered everything that it received. */
export function endChunk(sender: Sender, settled: boolean): void {
  inChunk = false;
  if (waiting.length === 0 || scheduled) return;
  if (settled && waiting.length === 1 && waiting[0] === sender) flushAll();
  else schedule();
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  // ticks run after the microtasks of this turn: what those send joins the same write
  queueMicrotask(flushInTick);
}

function flushInTick(): void {
  afterMicrotasks(flushScheduled);
}

let afterMicrotasks: (flush: () => void) => void = (flush) => process.nextTick(flush);

/**
 * Until the function that this returns is called, a flush doesn't wait for the end of the turn, but only for what has been
 * queued so far. A child starts like this: it sends one message a turn, and the first tick of a process takes a millisecond, as
 * long as a twentieth of a start (row `spawn.packed`).
 */
export function flushWithoutTicks(): () => void {
  const usual = afterMicrotasks;
  afterMicrotasks = queueMicrotask;
  return () => (afterMicrotasks = usual);
}

function flushScheduled(): void {
  scheduled = false;
  flushAll();
}

function flushAll(): void {
  const senders = waiting;
  waiting = [];
  for (const sender of senders) {
    sender.waits = false;
    try {
      sender.flush();
    } catch (error) {
      // flush must not throw; if it does, the other senders still have to be flushed
      log.error?.(`flush at the end of a turn failed: ${asError(error).stack}`);
    }
  }
}
