/** Tables, aligned by the width that a terminal gives each character. Pure. */
import type { Terminal } from "./command.ts";

export interface Column {
  readonly title: string;
  /** Default left. */
  readonly align?: "left" | "right";
  /** Whether a table that is too wide may shorten this column. Default false. */
  readonly shrinks?: boolean;
}

export interface TableOptions {
  /** The width of the terminal, where lines end. Without one, nothing is shortened. */
  readonly columns?: number | undefined;
  /** Styles the titles. */
  readonly header?: (text: string) => string;
}

/** As a terminal wants it: no wider than that, with bold titles. */
export function optionsFor(terminal: Pick<Terminal, "columns" | "style">): TableOptions {
  return { columns: terminal.columns, header: (text) => terminal.style("bold", text) };
}

type Cells = readonly string[];

const gap = "  ";
/** A column that shrinks keeps at least so many characters. */
const leastWidth = 8;

/** The lines of a table, its titles first. Cells may have colours. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly Cells[],
  options: TableOptions = {},
): string[] {
  return new Table(columns, options).lines(rows);
}

/** A table whose rows come bit by bit: its columns only get wider. */
export class Table {
  readonly #columns: readonly Column[];
  readonly #options: TableOptions;
  readonly #widths: number[];
  #hasHeader = false;

  constructor(columns: readonly Column[], options: TableOptions = {}) {
    this.#columns = columns;
    this.#options = options;
    this.#widths = columns.map(({ title }) => Bun.stringWidth(title));
  }

  /** The next rows; the titles come before the first. */
  lines(rows: readonly Cells[]): string[] {
    const clean = rows.map((row) => row.map(printable));
    for (const [at, width] of this.#widths.entries())
      this.#widths[at] = Math.max(width, ...clean.map((row) => Bun.stringWidth(row[at] ?? "")));
    const { columns: limit, header = (text) => text } = this.#options;
    const widths = fitted(this.#widths, this.#columns, limit);
    const lines = clean.map((row) => cut(this.#line(row, widths), limit));
    if (this.#hasHeader) return lines;
    this.#hasHeader = true;
    const titles = this.#columns.map(({ title }) => title);
    return [header(cut(this.#line(titles, widths), limit)), ...lines];
  }

  #line(row: Cells, widths: readonly number[]): string {
    const cells = this.#columns.map(({ align }, at) => cell(row[at] ?? "", widths[at]!, align));
    return cells.join(gap).trimEnd();
  }
}

/** The text, cut at the width of the terminal: one that the terminal breaks would disturb all below it. */
export function cut(text: string, columns: number | undefined): string {
  if (columns === undefined || Bun.stringWidth(text) <= columns) return text;
  // sliceAnsi takes in a wide character that begins before the end
  let kept = columns;
  while (Bun.stringWidth(Bun.sliceAnsi(text, 0, kept)) > columns) kept--;
  return Bun.sliceAnsi(text, 0, kept);
}

/** The widths, with the widest columns that may shrink made narrower until a line fits. */
function fitted(widths: readonly number[], columns: readonly Column[], limit: number | undefined): number[] {
  const result = widths.slice();
  const able = columns.flatMap(({ shrinks }, at) => (shrinks === true ? [at] : []));
  if (limit === undefined || able.length === 0) return result;
  const isWide = (): boolean =>
    result.reduce((sum, width) => sum + width, gap.length * (result.length - 1)) > limit;
  while (isWide()) {
    const widest = able.reduce((a, b) => (result[b]! > result[a]! ? b : a));
    if (result[widest]! <= leastWidth) break;
    result[widest]!--;
  }
  return result;
}

function cell(text: string, width: number, align: Column["align"]): string {
  const own = Bun.stringWidth(text);
  if (own > width) return cell(`${cut(text, width - 1)}…`, width, align);
  const padding = " ".repeat(width - own);
  return align === "right" ? padding + text : text + padding;
}

/** Control characters would break the table, or reach the terminal; colours may. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- it is about these
  return text.replaceAll(/\u001b(?!\[[\d;]*m)|[\u0000-\u001a\u001c-\u001f\u007f-\u009f]/g, "\ufffd");
}
