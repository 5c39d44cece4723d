/**
 * When what was sent in a turn of the event loop is written: at its end, all at once, in the order of the first message
 * of each.
 *
 * The end is sooner when a chunk that was received is done and nobody else can have something to send: answers that were
 * there at once leave at once, without a tick of their own (row `rpc.unix`).
 */

import { asError } from "../errors.ts";
import { logger } from "../log.ts";

const log = logger("channel");

/** Somebody who collects what it has to send. */
export interface Sender {
  /** Set while it is in the list here. */
  waits: boolean;
  flush(): void;
}

let waiting: Sender[] = [];
let scheduled = false;
let inChunk = false;

/** Has `sender` flushed when the turn ends. */
export function flushLater(sender: Sender): void {
  if (sender.waits) return;
  sender.waits = true;
  waiting.push(sender);
  if (!inChunk) schedule();
}

/** A received chunk is being worked on, up to `endChunk`. */
export function beginChunk(): void {
  inChunk = true;
}

/** `settled`: all that `sender` was asked for is answered. */
export function endChunk(sender: Sender, settled: boolean): void {
  inChunk = false;
  if (waiting.length === 0 || scheduled) return;
  if (settled && waiting.length === 1 && waiting[0] === sender) flushAll();
  else schedule();
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  // ticks run when the microtasks of this turn are done: whatever they send is in the same write
  queueMicrotask(flushInTick);
}

function flushInTick(): void {
  process.nextTick(flushScheduled);
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
      // it must not, and the others would wait for ever
      log.error?.(`a write at the end of a turn: ${asError(error).stack}`);
    }
  }
}
