/** The columns that commands show of an actor. */
import type { Registration } from "../discovery/registration.ts";
import { hostId } from "../transport/host.ts";
import type { Terminal } from "./command.ts";
import { type Column, optionsFor, Table } from "./table.ts";
import { type ProcessUsage, usageOf } from "./process-usage.ts";
import { formatAge, formatBytes } from "./units.ts";

const columns: readonly Column[] = [
  { title: "NAME", shrinks: true },
  { title: "UUID" },
  { title: "PID", align: "right" },
  { title: "UP", align: "right" },
  { title: "CPU", align: "right" },
  { title: "RSS", align: "right" },
  { title: "STATE" },
  { title: "VERSION", shrinks: true },
  { title: "ADDRS", shrinks: true },
];

/** A table of actors. `first`, `last`: columns before and after those of an actor. */
export function actorTable(
  terminal: Terminal,
  first: readonly Column[] = [],
  last: readonly Column[] = [],
): Table {
  return new Table([...first, ...columns, ...last], optionsFor(terminal));
}

/** An actor with what its process uses; null if that can't be known here. */
export type MeasuredActor = Registration & {
  readonly [K in keyof ProcessUsage]: ProcessUsage[K] | null;
};

/** Adds what the processes of this host use. */
export function measured<A extends Registration>(actors: readonly A[]): (A & MeasuredActor)[] {
  const own = hostId();
  const usage = usageOf(actors.flatMap(({ id }) => (id.host === own ? [id.pid] : [])));
  return actors.map((actor) => {
    const { cpuSeconds = null, rssBytes = null } = (actor.id.host === own && usage.get(actor.id.pid)) || {};
    return { ...actor, cpuSeconds, rssBytes };
  });
}

/** An actor as a row. `name`: its name as it is shown. `now`: in ms since 1970. */
export function actorCells(
  actor: MeasuredActor,
  terminal: Terminal,
  now: number,
  name: string = actor.id.name,
): string[] {
  const { id, startedAt, state, version, addrs, cpuSeconds, rssBytes } = actor;
  return [
    name,
    id.uuid.slice(0, 8),
    String(id.pid),
    startedAt === 0 ? "-" : formatAge(now - startedAt),
    cpuSeconds === null ? "-" : `${cpuSeconds.toFixed(2)}s`,
    rssBytes === null ? "-" : formatBytes(rssBytes),
    state === "ready" ? state : terminal.style("yellow", state),
    version ?? "-",
    addrs.join(" "),
  ];
}
