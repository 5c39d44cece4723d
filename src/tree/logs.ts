/**
 * Reads the kept output of an actor's children, for `furrow.logs`. A reader holds a place in each child's lines and no line of its
 * own: a slow one misses lines, and is told how many.
 */
import { checkPattern, readPattern } from "../discovery/pattern.ts";
import type { KeptOutput, KeptOutputs } from "./kept-output.ts";
import type { Cursor, LineTags } from "./line-ring.ts";

export interface LogOptions {
  /** A name, or a prefix and a star; default: all children. */
  readonly name?: string;
  /** Only what this process wrote. */
  readonly uuid?: string;
  /** At most so many of the lines that are there, for each child; default: all. */
  readonly tail?: number;
  /** Whether to go on with the lines to come; default false. */
  readonly follow?: boolean;
  /** Only lines from this time on, in milliseconds since 1970. */
  readonly since?: number;
}

/** A line that a child wrote. */
export interface LogLine {
  readonly type: "line";
  /** When it was complete, in milliseconds since 1970. */
  readonly time: number;
  readonly actor: string;
  readonly uuid: string;
  readonly pid: number;
  readonly stream: "stdout" | "stderr";
  /** Without its end. Bytes that aren't UTF-8 are replaced by U+FFFD. */
  readonly text: string;
  /** Whether the line goes on in the next one of this stream, since it is longer than 16 KiB; or hasn't ended yet. */
  readonly continues: boolean;
}

/** The reader was too slow: so many lines of the child were overwritten before it got to them. */
export interface LogGap {
  readonly type: "missed";
  readonly actor: string;
  readonly lines: number;
}

/**
 * The lines that are kept, in the order of their times, and with `follow` those to come. A child that has ended is included as long as
 * its output is kept. Ends with the signal at the latest.
 */
export async function* readLogs(
  outputs: KeptOutputs,
  options: LogOptions,
  signal: AbortSignal,
): AsyncGenerator<LogLine | LogGap, void, undefined> {
  const readers = new Map<KeptOutput, Reader>();
  join(readers, outputs, options, options.tail);
  yield* merged(Array.from(readers.values()));
  if (options.follow !== true) {
    if (options.tail !== 0) for (const reader of readers.values()) yield* reader.unfinished();
    return;
  }
  while (!signal.aborted) {
    const active = Array.from(readers.values()).filter((reader) => reader.begin());
    if (active.length > 0) yield* merged(active);
    else await moreOf(outputs, signal);
    join(readers, outputs, options, undefined);
  }
}

/** Adds a reader for each child that has none yet, and removes those of children whose output isn't kept any more. */
function join(
  readers: Map<KeptOutput, Reader>,
  outputs: KeptOutputs,
  options: LogOptions,
  tail: number | undefined,
): void {
  const kept = new Set(outputs.all());
  for (const output of readers.keys()) if (!kept.has(output)) readers.delete(output);
  for (const output of kept) {
    if (readers.has(output)) continue;
    if (options.name === undefined || matches(options.name, output.name))
      readers.set(output, new Reader(output, options, tail));
  }
}

/** What the readers have before them now, in the order of the times. */
function* merged(readers: readonly Reader[]): Generator<LogLine | LogGap, void, undefined> {
  const left = new Set(readers);
  for (;;) {
    let next: Reader | undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (const reader of left) {
      const { time } = reader;
      if (time === undefined) left.delete(reader);
      else if (time < earliest) [next, earliest] = [reader, time];
    }
    if (next === undefined) return;
    yield* next.take();
  }
}

/** Reads the lines of one child. */
class Reader {
  readonly #output: KeptOutput;
  readonly #options: LogOptions;
  readonly #cursor: Cursor;
  #missed = 0;
  /** The number of the line at which the round ends: others have their turn even if this child never pauses. */
  #until = 0;

  constructor(output: KeptOutput, options: LogOptions, tail: number | undefined) {
    this.#output = output;
    this.#options = options;
    this.#cursor = output.ring.begin();
    this.begin();
    if (tail !== undefined) this.#keepLast(tail);
  }

  /** Begins a round of all lines that are there; returns whether there are any. */
  begin(): boolean {
    this.#until = this.#output.ring.added;
    return this.#cursor.next < this.#until;
  }

  /** The time of the next wanted line of the round. */
  get time(): number | undefined {
    const { ring } = this.#output;
    for (;;) {
      this.#missed += ring.skip(this.#cursor);
      if (this.#cursor.next >= this.#until) return undefined;
      const tags = ring.peek(this.#cursor);
      if (tags === undefined || this.#wants(tags)) return tags?.time;
      ring.pass(this.#cursor);
    }
  }

  /** The line whose time was asked for, after what was missed before it. */
  *take(): Generator<LogLine | LogGap, void, undefined> {
    const { ring, name } = this.#output;
    const line = ring.read(this.#cursor);
    if (this.#missed > 0) yield { type: "missed", actor: name, lines: this.#missed };
    this.#missed = 0;
    if (line === undefined) return;
    const { time, run, isStderr, text, continues } = line;
    const { uuid, pid } = this.#output.idOf(run);
    yield { type: "line", time, actor: name, uuid, pid, stream: streamName(isStderr), text, continues };
  }

  /** What the child's process has written of lines that haven't ended. */
  *unfinished(): Generator<LogLine, void, undefined> {
    const { name } = this.#output;
    for (const { id, isStderr, bytes } of this.#output.unfinished) {
      if (this.#options.uuid !== undefined && this.#options.uuid !== id.uuid) continue;
      const text = Buffer.from(bytes).toString("utf8");
      const { uuid, pid } = id;
      const stream = streamName(isStderr);
      yield { type: "line", time: Date.now(), actor: name, uuid, pid, stream, text, continues: true };
    }
  }

  /** Passes over all but the last `count` of the wanted lines. */
  #keepLast(count: number): void {
    const { ring } = this.#output;
    let wanted = 0;
    for (const cursor = ring.begin(); cursor.next < this.#until; ring.pass(cursor))
      if (this.#wants(ring.peek(cursor)!)) wanted++;
    for (; wanted > count; wanted--) {
      if (this.time !== undefined) ring.pass(this.#cursor);
    }
  }

  #wants({ time, run }: LineTags): boolean {
    const { since, uuid } = this.#options;
    return (
      (since === undefined || time >= since) && (uuid === undefined || this.#output.idOf(run).uuid === uuid)
    );
  }
}

function streamName(isStderr: boolean): LogLine["stream"] {
  return isStderr ? "stderr" : "stdout";
}

/** Resolves when there is more, or the signal fires. */
async function moreOf(outputs: KeptOutputs, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = (): void => resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([outputs.more, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function matches(pattern: string, name: string): boolean {
  const { text, isPrefix } = readPattern(pattern);
  return isPrefix ? name.startsWith(text) : name === text;
}

/**
 * The options of a peer.
 *
 * @throws {TypeError | ActorNameError} when one is malformed
 */
export function readLogOptions(given: unknown = {}): LogOptions {
  if (typeof given !== "object" || given === null) throw new TypeError("logs takes an object of options");
  const { name, uuid, tail, follow, since } = given as Record<string, unknown>;
  const faults = [
    uuid === undefined || typeof uuid === "string" ? "" : "uuid must be a text",
    tail === undefined || (Number.isSafeInteger(tail) && (tail as number) >= 0)
      ? ""
      : "tail must be a non-negative integer",
    follow === undefined || typeof follow === "boolean" ? "" : "follow must be true or false",
    since === undefined || Number.isFinite(since) ? "" : "since must be in milliseconds since 1970",
  ].filter((fault) => fault !== "");
  if (faults.length > 0) throw new TypeError(`options of logs: ${faults.join("; ")}`);
  if (name !== undefined) checkPattern(name);
  return given;
}
