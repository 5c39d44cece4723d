/**
 * The tables that the command line prints, in a form that doesn't differ from run to run. First each cell must be where its
 * column is, by the width that a terminal gives its characters; then what varies gets a name, and the columns the width that
 * they need for that.
 */

/** What the cells of a column become, unless they are "-". */
const placeholders: Readonly<Record<string, string>> = {
  UUID: "<uuid-8>",
  PID: "<pid>",
  UP: "<age>",
  RSS: "<size>",
  CPU: "<cpu>",
  DIAL: "<ms>",
  MIN: "<ms>",
  MEAN: "<ms>",
  P50: "<ms>",
  P99: "<ms>",
  MAX: "<ms>",
  CALLS: "<count>",
  "CALLS/S": "<rate>",
};

/** The columns of numbers. */
const numbers = ["SENT", "LOST", "INFL", "ERR", "ERRORS", "RESTARTS"];
const alignedRight = new Set(Object.keys(placeholders).concat(numbers));
alignedRight.delete("UUID");

const gap = "  ";
const titles = /^[A-Z][A-Z0-9/]*(?: {2,}[A-Z][A-Z0-9/]*)+$/;
/** The lines that lead to a name in a tree: they have gaps of their own. */
const branches = /^(?:│ {2}| {3})*(?:[├└]─ )?/;

type Row = readonly string[];

/** `clean`: what becomes of a cell that isn't replaced as a whole. Fails if a table isn't aligned. */
export function steadyTables(text: string, clean: (cell: string) => string): string {
  const lines = text.split("\n");
  const done: string[] = [];
  for (let at = 0; at < lines.length;) {
    const table = tableAt(lines, at);
    if (table === undefined) done.push(clean(lines[at++]!));
    else {
      done.push(...aligned(steady(table, clean)));
      at += table.length;
    }
  }
  return done.join("\n");
}

/** The rows of the table whose titles are in that line. */
function tableAt(lines: readonly string[], at: number): readonly Row[] | undefined {
  if (!titles.test(Bun.stripANSI(lines[at]!))) return undefined;
  const [head = [], ...rows] = lines.slice(at).map(cellsOf);
  const end = rows.findIndex((row) => row.length !== head.length);
  const table = [head, ...rows.slice(0, end < 0 ? rows.length : end)];
  checkAlignment(lines.slice(at, at + table.length), table);
  return table;
}

function cellsOf(line: string): Row {
  const [lead = ""] = branches.exec(line) ?? [];
  const [first = "", ...others] = line.slice(lead.length).split(/ {2,}/);
  return [lead + first, ...others];
}

/** Fails unless the lines are these rows, aligned: all of them, or where rows come bit by bit, each with those so far. */
function checkAlignment(lines: readonly string[], table: readonly Row[]): void {
  const stages = table.map((_, at) => aligned(table.slice(0, at + 1)));
  for (const [at, line] of lines.entries())
    if (!stages.some((stage) => stage[at] === line))
      throw new Error(`a row isn't aligned:\n${lines.join("\n")}\nshould be\n${stages.at(-1)!.join("\n")}`);
}

function aligned(table: readonly Row[]): string[] {
  const [head = []] = table;
  const widths = head.map((_, column) => Math.max(...table.map((row) => Bun.stringWidth(row[column]!))));
  return table.map((row) =>
    row
      .map((cell, column) => {
        const padding = " ".repeat(widths[column]! - Bun.stringWidth(cell));
        return isRight(table, column) ? padding + cell : cell + padding;
      })
      .join(gap)
      .trimEnd(),
  );
}

/** A moment is as wide as any other; how long something took is a number. */
function isRight([head = [], ...rows]: readonly Row[], column: number): boolean {
  const title = Bun.stripANSI(head[column]!);
  return (
    alignedRight.has(title) || (title === "TIME" && rows.some((row) => / m?s$|<ms>$/.test(row[column]!)))
  );
}

function steady([head = [], ...rows]: readonly Row[], clean: (cell: string) => string): Row[] {
  const names = head.map((title) => placeholders[Bun.stripANSI(title)]);
  return [
    head,
    ...rows.map((row) => row.map((cell, column) => (cell === "-" ? cell : (names[column] ?? clean(cell))))),
  ];
}
