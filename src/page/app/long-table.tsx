/** A table of any length, of which only the rows in sight are drawn. */
import type { ComponentChild, JSX } from "preact";

import { rowHeight, useWindow } from "./window.ts";

export interface Column {
  readonly title: string;
  readonly class: string;
}

export interface LongTableProps<R> {
  /** What screen readers call it. */
  readonly label: string;
  readonly columns: readonly Column[];
  readonly rows: readonly R[];
  readonly hidden?: boolean;
  /** Draws a row, with a key. */
  readonly draw: (row: R) => ComponentChild;
}

export function LongTable<R>({ label, columns, rows, hidden, draw }: LongTableProps<R>): JSX.Element {
  const { scroller, onScroll, first, end } = useWindow(rows.length);
  return (
    <div class="scroller" ref={scroller} onScroll={onScroll} hidden={hidden}>
      <table aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} scope="col" class={column.class}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Space rows={first} columns={columns.length} />
          {rows.slice(first, end).map(draw)}
          <Space rows={rows.length - end} columns={columns.length} />
        </tbody>
      </table>
    </div>
  );
}

/** Stands for the rows that aren't drawn. */
function Space({ rows, columns }: { readonly rows: number; readonly columns: number }): JSX.Element | null {
  if (rows <= 0) return null;
  return (
    <tr class="space" aria-hidden="true">
      <td colSpan={columns} style={{ height: `${rows * rowHeight}px` }} />
    </tr>
  );
}
