/** The generated parts of docs/performance.md: each stands between two comments with its name. */
import { judge } from "./goals.ts";
import { growthOf } from "./growth.ts";
import type { Environment } from "./environment.ts";
import type { Result } from "./result.ts";
import type { Results } from "./results-file.ts";
import { showBytes, showCount, showNs, showRatio, showSpread } from "./show.ts";

const parts: Readonly<Record<string, (results: Results) => string>> = {
  machine: ({ env }) => describeMachine(env),
  rows: ({ rows }) => rowsTable(rows),
  pinned: (results) => resultsTable(results, true),
  unpinned: (results) => resultsTable(results, false),
  growth: describeGrowth,
};

/**
 * Returns the document with every part generated anew; the text around the parts stays.
 *
 * @throws {Error} if the document has no place for a part
 */
export function fillDocument(document: string, results: Results): string {
  let filled = document;
  for (const [name, make] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [start, stop] = [filled.indexOf(begin), filled.indexOf(end)];
    if (start < 0 || stop < start) throw new Error(`the document has no part ${begin} … ${end}`);
    filled = `${filled.slice(0, start + begin.length)}\n${make(results)}\n${filled.slice(stop)}`;
  }
  return filled;
}

function describeMachine(env: Environment): string {
  const { furrow, bun, platform, arch, kernel, processor, processors, stores, date, rounds, pace, quick } =
    env;
  const versions = Object.entries(stores).map(([name, version]) => `, ${name} ${version}`);
  return [
    `furrow ${furrow} with Bun ${bun} on ${platform} ${kernel} ${arch}, ${processors} × ${processor}${versions.join("")}; ${date.slice(0, 10)}.`,
    `Rounds: ${rounds}, each of ${pace.blocks} blocks of ${pace.blockMs} ms for each side.`,
    ...(quick ? ["A quick run: it only shows that everything runs."] : []),
  ].join("\n");
}

/** Lists each row once, however it was run: pinned, unpinned or both. */
function rowsTable(rows: readonly Result[]): string {
  const once = rows.filter(({ id }, at) => rows.findIndex((row) => row.id === id) === at);
  const lines = once.map(({ id, what, batch, baseline }) => [`\`${id}\``, what, showCount(batch), baseline]);
  return markdown(["row", "one call", "calls in a sample >", "baseline"], lines);
}

const resultHead = [
  "row",
  "p50 >",
  "p99 >",
  "per second >",
  "baseline's p50 >",
  "ratio >",
  "least to greatest >",
  "goal",
];

function resultsTable(results: Results, pinned: boolean): string {
  const rows = results.rows.filter((row) => row.pinned === pinned);
  if (rows.length === 0) return "Not run.";
  return markdown(
    resultHead,
    rows.flatMap((row) => resultLines(row, results)),
  );
}

/** A row's line, and one more for each other thing that it is compared with. */
function resultLines(row: Result, results: Results): string[][] {
  const { id, bytes, baselineBytes, against } = row;
  const verdict = judge(row, results);
  const goal = verdict === undefined ? "" : `${verdict.words}: ${verdict.reached ? "yes" : "**no**"}`;
  const own =
    bytes === undefined || baselineBytes === undefined
      ? [showNs(row.p50Ns), showNs(row.p99Ns), showCount(row.opsPerSec), showNs(row.baselineP50Ns)]
      : [showBytes(bytes), "", "", showBytes(baselineBytes)];
  return [
    [`\`${id}\``, ...own, showRatio(row.ratio) + unitOf(row), showSpread(row.spread), goal],
    ...Object.entries(against).map(([other, { ratio, spread }]) => {
      return [`beside \`${other}\``, "", "", "", "", showRatio(ratio) + unitOf(row), showSpread(spread), ""];
    }),
  ];
}

function unitOf({ ratioOf }: Result): string {
  return ratioOf === "throughput" ? " of its calls" : "";
}

function describeGrowth(results: Results): string {
  const found = growthOf(results);
  if (found.length === 0) return "Not run.";
  return markdown(
    ["", "furrow's table >", "a plain Map >"],
    found.map(({ pinned, table, map }) => [
      pinned ? "on one processor" : "on any processor",
      `× ${showRatio(table)}`,
      `× ${showRatio(map)}`,
    ]),
  );
}

/** Formats a table; a column whose title ends with > is aligned right. */
function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const titles = head.map((title) => title.replace(/ >$/, ""));
  const rule = head.map((title) => (title.endsWith(">") ? "---:" : "---"));
  return [titles, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
