/** The columns that commands show of an actor. */
import type { Registration } from "../discovery/registration.ts";
import type { ActorId } from "../identity.ts";
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

/** Whether some of the actors are on another host than others: then a table says where each is. */
export function areOnSeveralHosts(actors: readonly { readonly id: ActorId }[]): boolean {
  return new Set(actors.map(({ id }) => id.host)).size > 1;
}

export interface ActorTableOptions {
  /** Columns before those of an actor. */
  readonly first?: readonly Column[];
  /** Columns after them. */
  readonly last?: readonly Column[];
  /** Whether there is a column that says where each is, before the addresses. */
  readonly withHost?: boolean;
}

/** A table of actors. */
export function actorTable(
  terminal: Terminal,
  { first = [], last = [], withHost = false }: ActorTableOptions = {},
): Table {
  const host: readonly Column[] = withHost ? [{ title: "HOST" }] : [];
  const own = [...columns.slice(0, -1), ...host, ...columns.slice(-1)];
  return new Table([...first, ...own, ...last], optionsFor(terminal));
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

/** An actor as a row. `name`: its name as it is shown. `now`: in ms since 1970. `withHost`: as for `actorTable`. */
export function actorCells(
  actor: MeasuredActor,
  terminal: Terminal,
  now: number,
  name: string = actor.id.name,
  withHost: boolean = false,
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
    ...(withHost ? [id.host.slice(0, 8)] : []),
    addrs.join(" "),
  ];
}
