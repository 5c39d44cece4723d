/** Tables, aligned by the width that a terminal gives each character. Pure. */

export interface Column {
  readonly title: string;
  /** Default left. */
  readonly align?: "left" | "right";
  /** Whether a table that is too wide may shorten this column. Default false. */
  readonly shrinks?: boolean;
}

const gap = "  ";
/** A column that shrinks keeps at least so many cells. */
const leastWidth = 8;

export interface TableOptions {
  /** The width of the terminal. Without one, nothing is shortened. */
  readonly columns?: number | undefined;
  /** Styles the titles. */
  readonly header?: (text: string) => string;
}

/** The lines of a table, its titles first. Cells may have colours. The last column isn't padded. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string[] {
  const { header = (text) => text } = options;
  const clean = rows.map((row) => row.map(printable));
  const widths = columns.map(({ title }, at) =>
    Math.max(Bun.stringWidth(title), ...clean.map((row) => Bun.stringWidth(row[at] ?? ""))),
  );
  fit(widths, columns, options.columns);
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, at) => cell(cells[at] ?? "", widths[at]!, align, at === columns.length - 1))
      .join(gap)
      .trimEnd();
  return [header(line(columns.map(({ title }) => title))), ...clean.map(line)];
}

/** Takes from the widest column that may shrink until the line fits. */
function fit(widths: number[], columns: readonly Column[], limit: number | undefined): void {
  if (limit === undefined) return;
  let excess = widths.reduce((sum, width) => sum + width, gap.length * (widths.length - 1)) - limit;
  while (excess > 0) {
    const able = widths.map((width, at) => (columns[at]!.shrinks && width > leastWidth ? width : 0));
    const widest = Math.max(...able);
    if (widest === 0) return;
    const next = Math.max(leastWidth, ...able.filter((width) => width < widest));
    const taken = Math.min(excess, widest - Math.min(next, widest - 1));
    widths[able.indexOf(widest)]! -= taken;
    excess -= taken;
  }
}

function cell(text: string, width: number, align: Column["align"], isLast: boolean): string {
  const own = Bun.stringWidth(text);
  if (own > width) return cell(shortened(text, width), width, align, isLast);
  const padding = " ".repeat(width - own);
  if (align === "right") return padding + text;
  return isLast ? text : text + padding;
}

/** sliceAnsi's own ellipsis may exceed the width by one after a wide character. */
function shortened(text: string, width: number): string {
  let kept = width - 1;
  while (Bun.stringWidth(Bun.sliceAnsi(text, 0, kept)) > width - 1) kept--;
  return `${Bun.sliceAnsi(text, 0, kept)}…`;
}

/** Line breaks and other control characters would break the table, and may not reach the terminal; colours may. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/\u001b(?!\[[\d;]*m)|[\u0000-\u001a\u001c-\u001f\u007f-\u009f]/g, "\ufffd");
}
