/** A child's output: passed on as it comes, its last part kept for the error that may follow. */

/** Where it goes; asked for only when there is output, since Bun opens a descriptor for each standard stream. */
type Sink = () => NodeJS.WriteStream;

/** How much is kept, in characters. */
const tailChars = 8_192;

export class OutputTail {
  #tail = "";
  readonly #done: Promise<void>;

  /** Reads `source` to its end. Each line gets `prefix`; without a `sink` the output is only kept. */
  constructor(source: ReadableStream<Uint8Array>, sink: Sink | undefined, prefix: string) {
    this.#done = this.#pump(source, sink, prefix);
  }

  /** The end of what was printed. */
  get text(): string {
    return this.#tail;
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
    let line = "";
    for await (const chunk of source) {
      const text = decoder.decode(chunk, { stream: true });
      this.#tail = (this.#tail + text).slice(-tailChars);
      if (sink === undefined) continue;
      if (prefix === "") {
        await write(sink(), chunk);
        continue;
      }
      // whole lines only: the lines of several children must not run into each other
      const lines = (line + text).split("\n");
      line = lines.pop() ?? "";
      for (const whole of lines) await write(sink(), `${prefix}${whole}\n`);
    }
    if (line !== "") sink?.().write(`${prefix}${line}\n`);
  }
}

/** Waits where the sink does, so that a child cannot fill this process's memory. */
async function write(sink: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  if (sink.write(data)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.once("drain", resolve);
  await promise;
}
