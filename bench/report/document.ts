/** The parts of docs/performance.md that a run of the bench fills. */
import { judge } from "./goals.ts";
import { growthOf } from "./growth.ts";
import { describeMachine, type Environment } from "./environment.ts";
import { fillParts, markdown } from "./parts.ts";
import type { Result } from "./result.ts";
import type { Results } from "./results-file.ts";
import { showBytes, showCount, showNs, showRatio, showSpread } from "./show.ts";

const parts: Readonly<Record<string, (results: Results) => string>> = {
  machine: ({ env }) => describeRun(env),
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
  return fillParts(
    document,
    Object.fromEntries(Object.entries(parts).map(([name, make]) => [name, make(results)])),
  );
}

function describeRun(env: Environment): string {
  const { rounds, pace, quick } = env;
  return [
    describeMachine(env),
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
