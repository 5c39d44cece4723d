/** Passes on a child's output, and keeps the end of it for the error that may follow. */
import type { LineSplitter } from "./line-splitter.ts";

/**
 * Returns the stream to write to. Called only when there is output, since Bun opens a descriptor per standard stream.
 */
type Sink = () => NodeJS.WriteStream;

/** How many characters to keep. */
const tailChars = 8_192;
/** Longer lines (in characters) are split, so that they neither fill memory nor delay the output. */
const maxLineChars = 65_536;
/** Marks the end of each part of a split line but the last. */
const splitMark = " [line goes on]";

export class OutputTail {
  readonly #tail = new Tail();
  readonly #done: Promise<void>;

  /**
   * Reads `source` to its end, and passes it on to `sink`; without a `sink`, it only keeps the tail. If there is a
   * `prefix`, each line gets it, and a line of more than 64 Ki characters is split, with a mark. `lines` gets everything, before
   * it's passed on.
   */
  constructor(
    source: AsyncIterable<Uint8Array>,
    sink: Sink | undefined,
    prefix: string,
    lines?: LineSplitter,
  ) {
    this.#done = this.#pump(source, sink, prefix, lines);
  }

  /** The last 8 Ki characters of the output. */
  get text(): string {
    return this.#tail.text;
  }

  /** Resolves at the end of the output, or after `graceMs`. */
  async closed(graceMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, graceMs);
    await Promise.race([this.#done, promise]);
    clearTimeout(timer);
  }

  async #pump(
    source: AsyncIterable<Uint8Array>,
    sink: Sink | undefined,
    prefix: string,
    kept: LineSplitter | undefined,
  ): Promise<void> {
    const decoder = new TextDecoder();
    const lines = new PrefixedLines(prefix);
    for await (const chunk of source) {
      kept?.add(chunk);
      const text = decoder.decode(chunk, { stream: true });
      this.#tail.add(text);
      if (sink === undefined) continue;
      if (prefix === "") await write(sink(), chunk);
      else for (const whole of lines.add(text)) await write(sink(), whole);
    }
    kept?.end();
    const rest = lines.end();
    if (rest !== "") sink?.().write(rest);
  }
}

/** The last characters of a text that arrives in pieces. */
class Tail {
  #pieces: string[] = [];
  #chars = 0;

  get text(): string {
    return this.#pieces.join("").slice(-tailChars);
  }

  add(piece: string): void {
    if (piece.length >= tailChars) {
      this.#pieces = [];
      this.#chars = 0;
    }
    const last = piece.slice(-tailChars);
    this.#pieces.push(last);
    this.#chars += last.length;
    // don't trim for each piece: trimming costs as much as the text that is kept
    if (this.#chars < 4 * tailChars && this.#pieces.length < tailChars) return;
    this.#pieces = [this.text];
    this.#chars = this.#pieces[0]!.length;
  }
}

/** Assembles whole lines from pieces of text, so that the lines of several children don't get mixed up. */
class PrefixedLines {
  readonly #prefix: string;
  /** The unfinished line, in pieces; never longer than `maxLineChars`. */
  #line: string[] = [];
  #chars = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Adds a piece of text, and yields the lines that are ready to be written. */
  *add(text: string): Generator<string, void, undefined> {
    let at = 0;
    while (at < text.length) {
      const newline = text.indexOf("\n", at);
      const end = newline < 0 ? text.length : newline;
      while (this.#chars + end - at > maxLineChars) {
        const cut = cutBefore(text, at + maxLineChars - this.#chars);
        this.#keep(text, at, cut);
        yield `${this.#prefix}${this.#take()}${splitMark}\n`;
        at = cut;
      }
      this.#keep(text, at, end);
      at = end + 1;
      if (newline >= 0) yield `${this.#prefix}${this.#take()}\n`;
    }
  }

  /** The last line, if it has no newline; otherwise "". */
  end(): string {
    return this.#chars === 0 ? "" : `${this.#prefix}${this.#take()}\n`;
  }

  #keep(text: string, start: number, end: number): void {
    if (end <= start) return;
    this.#line.push(text.slice(start, end));
    this.#chars += end - start;
  }

  #take(): string {
    const line = this.#line.join("");
    this.#line = [];
    this.#chars = 0;
    return line;
  }
}

/** `at`, or one less if a cut there would split a surrogate pair. */
function cutBefore(text: string, at: number): number {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code < 0xdc00 ? at - 1 : at;
}

/** Waits for the sink to drain when it's full, so that a child can't fill this process's memory. */
async function write(sink: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  if (sink.write(data)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.once("drain", resolve);
  await promise;
}
