/** What is registered, name by name. */
import type { JSX } from "preact";

import type { ActorInfo } from "../protocol.ts";
import { count } from "./format.ts";
import { type Column, LongTable } from "./long-table.tsx";
import type { Model } from "./model.ts";
import { rowHeight } from "./window.ts";

interface NameRow {
  readonly name: string;
  readonly instances: readonly ActorInfo[];
}

const columns: readonly Column[] = [
  { title: "name", class: "name" },
  { title: "instances", class: "number" },
  { title: "version", class: "number" },
  { title: "functions", class: "number" },
  { title: "interested", class: "number" },
  { title: "metadata", class: "chips wide" },
];

export function Registry({ model }: { readonly model: Model }): JSX.Element {
  void model.changes.value;
  const rows = namesOf(model);
  return (
    <section class="registry" aria-labelledby="registry-title">
      <h2 id="registry-title">Registry ({rows.length})</h2>
      <LongTable
        label="Registry"
        columns={columns}
        rows={rows}
        draw={(row) => <Row key={row.name} row={row} model={model} />}
      />
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

interface RowProps {
  readonly row: NameRow;
  readonly model: Model;
}

function Row({ row: { name, instances }, model }: RowProps): JSX.Element {
  const interests = model.interests.value;
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
      <td class="number">{count(interests && (interests.get(name) ?? 0))}</td>
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
