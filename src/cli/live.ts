/** A view that is drawn again in its place, and leaves the rest of the terminal as it is. */
import type { CommandContext } from "./command.ts";
import { cut } from "./table.ts";

export class LiveView {
  readonly #context: CommandContext;
  /** The lines of the last frame. */
  #drawn = 0;

  constructor(context: CommandContext) {
    this.#context = context;
  }

  /** Draws the lines over those of the last frame. What exceeds the terminal is left out. */
  async draw(lines: readonly string[]): Promise<void> {
    const { columns, rows } = this.#context.terminal;
    const shown = fitHeight(lines, (rows ?? 24) - 1);
    const up = this.#drawn === 0 ? "" : `\u001b[${this.#drawn}A`;
    const text = shown.map((line) => `${cut(line, columns)}\u001b[K\n`).join("");
    this.#drawn = shown.length;
    // in one write, so that no half frame shows; the end clears what a longer frame left
    await this.#context.out(`\r${up}${text}\u001b[J`);
  }
}

function fitHeight(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines;
  return [...lines.slice(0, rows - 1), `... and ${lines.length - rows + 1} more`];
}
