/** All rows, in the order of the table. */
import { besideRows } from "./beside.ts";
import { bareRows } from "./bare.ts";
import { codecRows } from "./codec.ts";
import { echoRows } from "./echo.ts";
import { findRows } from "./find.ts";
import { idleRows } from "./idle.ts";
import { lookupRows } from "./lookup.ts";
import { registerRows } from "./register.ts";
import type { Row } from "./row.ts";
import { rpcRows } from "./rpc.ts";
import { spawnRows } from "./spawn.ts";
import { streamRows } from "./stream.ts";
import { memoryRow, tableRows } from "./table.ts";
import { tlsRows } from "./tls.ts";

export const rows: readonly Row[] = [
  ...echoRows,
  ...bareRows,
  ...rpcRows,
  ...streamRows,
  ...lookupRows,
  ...besideRows,
  ...findRows,
  ...tlsRows,
  ...registerRows,
  ...tableRows,
  memoryRow,
  ...codecRows,
  ...spawnRows,
  ...idleRows,
];

/**
 * The rows of these ids, in the order of the table; all when there is no list.
 *
 * @throws {Error} when there is no row of an id, with the ids that there are
 */
export function selectRows(ids: readonly string[] | undefined): readonly Row[] {
  if (ids === undefined) return rows;
  const known = rows.map(({ id }) => id);
  const unknown = ids.filter((id) => !known.includes(id));
  if (ids.length === 0 || unknown.length > 0) {
    throw new Error(
      `no row of the bench is called ${unknown.join(", ") || '""'}; there are ${known.join(", ")}`,
    );
  }
  return rows.filter(({ id }) => ids.includes(id));
}
