/** Streams and dialogs: who reads what from whom, and who waits. */
import type { JSX } from "preact";

import { count, duration, rate } from "./format.ts";
import type { Model } from "./model.ts";
import type { StreamRow } from "./streams.ts";
import { rowHeight, useWindow } from "./window.ts";

/** From when on waiting is shown in red. */
const longMs = 5_000;

export function Streams({ model }: { readonly model: Model }): JSX.Element {
  const rows = model.streams.value;
  const sight = useWindow(rows.length);
  return (
    <section class="streams" aria-labelledby="streams-title">
      <h2 id="streams-title">Streams and dialogs ({rows.length})</h2>
      <div class="scroller" ref={sight.scroller} onScroll={sight.onScroll} hidden={rows.length === 0}>
        <table aria-label="Streams and dialogs">
          <thead>
            <tr>
              <th scope="col" class="name">
                from → to
              </th>
              <th scope="col" class="name">
                function
              </th>
              <th scope="col" class="number">
                items/s
              </th>
              <th scope="col" class="number middle">
                credit left
              </th>
              <th scope="col" class="number waiting">
                waiting
              </th>
              <th scope="col" class="number wide">
                age
              </th>
            </tr>
          </thead>
          <tbody>
            {sight.before > 0 && (
              <tr class="space" aria-hidden="true">
                <td colSpan={6} style={{ height: `${sight.before}px` }} />
              </tr>
            )}
            {rows.slice(sight.first, sight.end).map((row) => (
              <Row key={row.key} row={row} />
            ))}
            {sight.after > 0 && (
              <tr class="space" aria-hidden="true">
                <td colSpan={6} style={{ height: `${sight.after}px` }} />
              </tr>
            )}
          </tbody>
        </table>
      </div>
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
