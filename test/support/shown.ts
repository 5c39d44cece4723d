/** What a command has shown so far, for tests that wait until it shows something. */
export class Shown {
  readonly #decoder = new TextDecoder();
  #text = "";
  #changed = Promise.withResolvers<void>();

  /** Without what a terminal adds to the ends of lines. */
  get text(): string {
    return this.#text.replaceAll("\r\n", "\n");
  }

  add(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /** Resolves when the text matches. Fails if `ended` resolves first. */
  async until(expected: RegExp | string, ended: Promise<unknown>): Promise<void> {
    const isThere = (): boolean =>
      typeof expected === "string" ? this.text.includes(expected) : expected.test(this.text);
    const over = ended.then(() => true);
    while (!isThere()) {
      const more = this.#changed.promise.then(() => false);
      if ((await Promise.race([more, over])) && !isThere())
        throw new Error(`the command ended without showing ${String(expected)}: ${this.text}`);
    }
  }
}
