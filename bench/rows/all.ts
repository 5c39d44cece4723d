/** All rows, in the order in which they run and stand in the tables. */
import type { Row } from "../harness/row.ts";
import { bareRows } from "./bare.ts";
import { besideRows } from "./beside.ts";
import { claimRows } from "./claim.ts";
import { clusterRows } from "./cluster.ts";
import { codecRows } from "./codec.ts";
import { echoRows } from "./echo.ts";
import { findRows } from "./find.ts";
import { idleRows } from "./idle.ts";
import { laneRows } from "./lane.ts";
import { lookupRows } from "./lookup.ts";
import { observedRows } from "./observed.ts";
import { registerRows } from "./register.ts";
import { rpcRows } from "./rpc.ts";
import { serviceRows } from "./service.ts";
import { spawnRows } from "./spawn.ts";
import { streamRows } from "./stream.ts";
import { memoryRow, tableRows } from "./table.ts";
import { tlsRows } from "./tls.ts";
import { watchRows } from "./watch.ts";

export const rows: readonly Row[] = [
  ...echoRows,
  ...bareRows,
  ...rpcRows,
  ...serviceRows,
  ...streamRows,
  ...laneRows,
  ...observedRows,
  ...lookupRows,
  ...besideRows,
  ...findRows,
  ...tlsRows,
  ...registerRows,
  ...claimRows,
  ...watchRows,
  ...clusterRows,
  ...tableRows,
  memoryRow,
  ...codecRows,
  ...spawnRows,
  ...idleRows,
];

/**
 * Returns the rows with these ids, in the order of `rows`; all of them for undefined.
 *
 * @throws {Error} if an id is unknown; the message lists the known ones
 */
export function selectRows(ids: readonly string[] | undefined): readonly Row[] {
  if (ids === undefined) return rows;
  const known = rows.map(({ id }) => id);
  const unknown = ids.filter((id) => !known.includes(id));
  if (ids.length === 0 || unknown.length > 0) {
    throw new Error(`unknown row ${unknown.join(", ") || '""'}; the rows are ${known.join(", ")}`);
  }
  return rows.filter(({ id }) => ids.includes(id));
}
