/** Streams and dialogs: who reads what from whom, and who waits. */
import type { JSX } from "preact";

import { count, duration, rate } from "./format.ts";
import { type Column, LongTable } from "./long-table.tsx";
import type { Model } from "./model.ts";
import type { StreamRow } from "./streams.ts";
import { rowHeight } from "./window.ts";

/** From when on waiting is shown in red. */
const longMs = 5_000;

const columns: readonly Column[] = [
  { title: "from → to", class: "name" },
  { title: "function", class: "name" },
  { title: "items/s", class: "number" },
  { title: "credit left", class: "number middle" },
  { title: "waiting", class: "number waiting" },
  { title: "age", class: "number wide" },
];

export function Streams({ model }: { readonly model: Model }): JSX.Element {
  const rows = model.streams.value;
  return (
    <section class="streams" aria-labelledby="streams-title">
      <h2 id="streams-title">Streams and dialogs ({rows.length})</h2>
      <LongTable
        label="Streams and dialogs"
        columns={columns}
        rows={rows}
        hidden={rows.length === 0}
        draw={(row) => <Row key={row.key} row={row} />}
      />
    </section>
  );
}

function Row({ row }: { readonly row: StreamRow }): JSX.Element {
  const { from, to, name, verb, perSecond, creditLeft, unread, waiting, waitedMs, ageMs } = row;
  const isStuck = waiting === "writer" && waitedMs >= longMs;
  return (
    <tr style={{ height: `${rowHeight}px` }}>
      <td class="name">
        {from.name} <span class="dim">→</span> {to.name}
      </td>
      <td class="name">
        {name} {verb === "open" && <span class="dim">dialog</span>}
      </td>
      <td class="number">{rate(perSecond)}</td>
      <td class={`number middle${creditLeft === 0 ? " bad" : ""}`}>
        {creditLeft === undefined ? (
          <span class="dim">{unread === undefined ? "–" : `${unread} unread`}</span>
        ) : (
          count(creditLeft)
        )}
      </td>
      <td class={`number ${isStuck ? "bad" : "dim"}`}>
        {waiting === undefined ? "–" : waiting === "reader" ? "reader" : `${waiting} ${duration(waitedMs)}`}
      </td>
      <td class="number wide">{duration(ageMs)}</td>
    </tr>
  );
}
