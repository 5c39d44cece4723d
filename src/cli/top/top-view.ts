/** What `furrow top` shows of actors at one moment. Pure. */
import type { Registration } from "../../discovery/registration.ts";
import { quantile } from "../../inspect/histogram.ts";
import type { Sample } from "../../inspect/sample.ts";
import { drawn, forestOf } from "../actor-tree.ts";
import type { Terminal } from "../command.ts";
import { type Column, cut, formatTable, optionsFor } from "../table.ts";
import { formatAge, formatBytes } from "../units.ts";
import { type ActivityNow, sumOf, toMs } from "./activity.ts";
import { warningsAbout } from "./warnings.ts";

/** One actor. */
export interface TopActor extends Registration {
  readonly activity: ActivityNow;
  /** Its last sample, if it has sent one. */
  readonly sample: Sample | undefined;
  /** Its latencies of the last ten seconds. */
  readonly buckets: readonly number[];
  /** How often its nursery restarted it, if that is known. */
  readonly restarts: number | undefined;
  /** For how long it hasn't answered, if it hasn't. */
  readonly silentMs: number | undefined;
}

/** How actors can be sorted; "tree" has each below the one that started it. */
export const topOrders: Readonly<Record<string, ((a: TopActor, b: TopActor) => number) | undefined>> = {
  tree: undefined,
  name: (a, b) => (a.id.name < b.id.name ? -1 : a.id.name > b.id.name ? 1 : 0),
  cpu: (a, b) => (b.activity.cpuShare ?? -1) - (a.activity.cpuShare ?? -1),
  rss: (a, b) => (b.activity.rssBytes ?? -1) - (a.activity.rssBytes ?? -1),
  calls: (a, b) => (b.activity.callsPerSecond ?? -1) - (a.activity.callsPerSecond ?? -1),
};

const columns: readonly Column[] = [
  { title: "NAME", shrinks: true },
  { title: "STATE" },
  { title: "PID", align: "right" },
  { title: "RSS", align: "right" },
  { title: "CPU", align: "right" },
  { title: "UP", align: "right" },
  { title: "CALLS/S", align: "right" },
  { title: "INFL", align: "right" },
  { title: "P50", align: "right" },
  { title: "P99", align: "right" },
  { title: "ERR", align: "right" },
  { title: "RESTARTS", align: "right" },
];

/** The lines: a summary, the actors, the warnings. `now`: in ms since 1970. */
export function topLines(
  actors: readonly TopActor[],
  order: string,
  terminal: Terminal,
  now: number,
): string[] {
  const compare = topOrders[order];
  const rows =
    compare === undefined
      ? drawn(forestOf(actors))
      : actors.toSorted(compare).map((actor) => ({ actor, name: actor.id.name }));
  const warnings = topWarnings(actors);
  const limit = terminal.columns;
  const table = formatTable(
    columns,
    rows.map(({ actor, name }) => [name, ...cellsOf(actor, terminal, now)]),
    optionsFor(terminal),
  );
  return [
    cut(summaryOf(actors, warnings.length, now), limit),
    ...table,
    ...warnings.map((text) => terminal.style("yellow", cut(`! ${text}`, limit))),
  ];
}

/** The warnings about all of them. */
export function topWarnings(actors: readonly TopActor[]): string[] {
  return actors.flatMap(({ id, sample, silentMs }) => warningsAbout(id.name, sample, silentMs));
}

/** An actor as documents have it. */
export function topDocument(actor: TopActor): Readonly<Record<string, unknown>> {
  const { id, parent, startedAt, activity, restarts = null, silentMs = null } = actor;
  return { id, parent, startedAt, state: stateOf(actor), ...activity, restarts, silentMs };
}

function summaryOf(actors: readonly TopActor[], warnings: number, now: number): string {
  const roots = actors.filter(({ parent }) => parent === null).map(({ id }) => id.name);
  const calls = actors.reduce((sum, { activity }) => sum + (activity.callsPerSecond ?? 0), 0);
  const p99 = toMs(quantile(sumOf(actors.map(({ buckets }) => buckets)), 0.99));
  const time = new Date(now).toLocaleTimeString("en-GB");
  return [
    ...(roots.length === 0 ? [] : [roots.slice(0, 3).join(", ") + (roots.length > 3 ? ", ..." : "")]),
    counted(actors.length, "actor"),
    `${Math.round(calls)} calls/s`,
    `p99 ${p99 === null ? "-" : latency(p99)}`,
    counted(warnings, "warning"),
    time,
  ].join("  ");
}

function cellsOf(actor: TopActor, terminal: Terminal, now: number): string[] {
  const { id, startedAt, activity, restarts } = actor;
  const { rssBytes, cpuShare, callsPerSecond, inFlight, p50Ms, p99Ms, errors } = activity;
  const state = stateOf(actor);
  return [
    state === "ready" ? state : terminal.style(state === "silent" ? "red" : "yellow", state),
    String(id.pid),
    shown(rssBytes, formatBytes),
    shown(cpuShare, (share) => `${(share * 100).toFixed(1)}%`),
    startedAt === 0 ? "-" : formatAge(now - startedAt),
    shown(callsPerSecond, (rate) => String(Math.round(rate))),
    shown(inFlight, String),
    shown(p50Ms, latency),
    shown(p99Ms, latency),
    shown(errors, (count) => (count === 0 ? "0" : terminal.style("red", String(count)))),
    shown(restarts ?? null, String),
  ];
}

/** silent: it hasn't answered for a while. */
function stateOf({ silentMs, state }: TopActor): "silent" | Registration["state"] {
  return silentMs === undefined ? state : "silent";
}

function shown(value: number | null, format: (value: number) => string): string {
  return value === null ? "-" : format(value);
}

/** Shorter than in other tables, where there is room for the space. */
function latency(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)}s` : `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)}ms`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
