/** The columns that commands show of an actor. Pure. */
import type { Registration } from "../discovery/registration.ts";
import type { Terminal } from "./command.ts";
import { type Column, Table } from "./table.ts";
import { formatAge } from "./units.ts";

const columns: readonly Column[] = [
  { title: "NAME", shrinks: true },
  { title: "UUID" },
  { title: "PID", align: "right" },
  { title: "UP", align: "right" },
  { title: "STATE" },
  { title: "VERSION", shrinks: true },
  { title: "ADDRS", shrinks: true },
];

/** A table of actors. `first`: a column before those of an actor. */
export function actorTable(terminal: Terminal, first: readonly Column[] = []): Table {
  return new Table([...first, ...columns], {
    columns: terminal.columns,
    header: (text) => terminal.style("bold", text),
  });
}

/** An actor as a row. `name`: its name as it is shown. `now`: in ms since 1970. */
export function actorCells(
  actor: Registration,
  terminal: Terminal,
  now: number,
  name: string = actor.id.name,
): string[] {
  const { id, startedAt, state, version, addrs } = actor;
  return [
    name,
    id.uuid.slice(0, 8),
    String(id.pid),
    startedAt === 0 ? "-" : formatAge(now - startedAt),
    state === "ready" ? state : terminal.style("yellow", state),
    version ?? "-",
    addrs.join(" "),
  ];
}
