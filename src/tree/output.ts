/** A child's output: passed on as it comes, its last part kept for the error that may follow. */

/** Where it goes; asked for only when there is output, since Bun opens a descriptor for each standard stream. */
type Sink = () => NodeJS.WriteStream;

/** How much is kept, in characters. */
const tailChars = 8_192;
/** A longer line, in characters, is split: it must not fill the memory, nor hold up what is passed on. */
const maxLineChars = 65_536;
/** At the end of each part of such a line but the last. */
const splitMark = " [line goes on]";

export class OutputTail {
  readonly #tail = new Tail();
  readonly #done: Promise<void>;

  /**
   * Reads `source` to its end. Each line gets `prefix`, and one beyond 64 Ki characters is split, with a mark; without a
   * `sink` the output is only kept.
   */
  constructor(source: ReadableStream<Uint8Array>, sink: Sink | undefined, prefix: string) {
    this.#done = this.#pump(source, sink, prefix);
  }

  /** The end of what was printed. */
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

  async #pump(source: ReadableStream<Uint8Array>, sink: Sink | undefined, prefix: string): Promise<void> {
    const decoder = new TextDecoder();
    const lines = new PrefixedLines(prefix);
    for await (const chunk of source) {
      const text = decoder.decode(chunk, { stream: true });
      this.#tail.add(text);
      if (sink === undefined) continue;
      if (prefix === "") await write(sink(), chunk);
      else for (const whole of lines.add(text)) await write(sink(), whole);
    }
    const rest = lines.end();
    if (rest !== "") sink?.().write(rest);
  }
}

/** The last characters of a text that comes in pieces. */
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
    // not for each piece: cutting costs as much as what is kept
    if (this.#chars < 4 * tailChars && this.#pieces.length < tailChars) return;
    this.#pieces = [this.text];
    this.#chars = this.#pieces[0]!.length;
  }
}

/** Whole lines out of pieces of text: the lines of several children must not run into each other. */
class PrefixedLines {
  readonly #prefix: string;
  /** The line that has no end yet, in pieces; never longer than a line may be. */
  #line: string[] = [];
  #chars = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Takes a piece of text, and gives what is ready to be written. */
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

  /** The line that has no end, or "" when there is none. */
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

/** `at`, or one less where that would cut a character in two. */
function cutBefore(text: string, at: number): number {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code < 0xdc00 ? at - 1 : at;
}

/** Waits where the sink does, so that a child cannot fill this process's memory. */
async function write(sink: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  if (sink.write(data)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.once("drain", resolve);
  await promise;
}
