/** What is registered, name by name. */
import type { JSX } from "preact";

import type { ActorInfo } from "../protocol.ts";
import type { Model } from "./model.ts";
import { rowHeight, useWindow } from "./window.ts";

interface NameRow {
  readonly name: string;
  readonly instances: readonly ActorInfo[];
}

export function Registry({ model }: { readonly model: Model }): JSX.Element {
  void model.changes.value;
  const rows = namesOf(model);
  const sight = useWindow(rows.length);
  return (
    <section class="registry" aria-labelledby="registry-title">
      <h2 id="registry-title">Registry ({rows.length})</h2>
      <div class="scroller" ref={sight.scroller} onScroll={sight.onScroll}>
        <table aria-label="Registry">
          <thead>
            <tr>
              <th scope="col" class="name">
                name
              </th>
              <th scope="col" class="number">
                instances
              </th>
              <th scope="col" class="number">
                version
              </th>
              <th scope="col" class="number">
                functions
              </th>
              <th scope="col" class="chips wide">
                metadata
              </th>
            </tr>
          </thead>
          <tbody>
            {sight.before > 0 && (
              <tr class="space" aria-hidden="true">
                <td colSpan={5} style={{ height: `${sight.before}px` }} />
              </tr>
            )}
            {rows.slice(sight.first, sight.end).map((row) => (
              <Row key={row.name} row={row} />
            ))}
            {sight.after > 0 && (
              <tr class="space" aria-hidden="true">
                <td colSpan={5} style={{ height: `${sight.after}px` }} />
              </tr>
            )}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function namesOf(model: Model): NameRow[] {
  const names = new Map<string, ActorInfo[]>();
  for (const { info, ended } of model.actors.values()) {
    if (ended.peek() !== undefined) continue;
    const actor = info.peek();
    const instances = names.get(actor.name);
    if (instances === undefined) names.set(actor.name, [actor]);
    else instances.push(actor);
  }
  return Array.from(names, ([name, instances]) => ({ name, instances })).toSorted((one, other) =>
    one.name.localeCompare(other.name, undefined, { numeric: true }),
  );
}

function Row({ row: { name, instances } }: { readonly row: NameRow }): JSX.Element {
  const versions = new Set(instances.flatMap(({ version }) => version ?? []));
  const chips = new Set(
    instances.flatMap(({ metadata }) =>
      Object.entries(metadata).map(([key, value]) => `${key}=${String(value)}`),
    ),
  );
  const functions = new Set(instances.flatMap(({ functions: own }) => own.map((fn) => fn.name)));
  return (
    <tr style={{ height: `${rowHeight}px` }}>
      <td class="name">{name}</td>
      <td class="number">{instances.length}</td>
      <td class={`number${versions.size > 1 ? " fair" : ""}`}>{Array.from(versions).join(", ") || "–"}</td>
      <td class="number" title={Array.from(functions).join(", ")}>
        {functions.size}
      </td>
      <td class="chips wide">
        {Array.from(chips).map((chip) => (
          <span key={chip} class="chip">
            {chip}
          </span>
        ))}
      </td>
    </tr>
  );
}
