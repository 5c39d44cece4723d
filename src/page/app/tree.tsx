/** The tree of actors: a grid that arrow keys walk, of which only the rows in sight are drawn. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import type { TreeRow } from "./forest.ts";
import { bytes, count, duration, ms, percent, rate } from "./format.ts";
import type { Model } from "./model.ts";
import { Sparkline } from "./sparkline.tsx";
import { standingOf } from "./standing.ts";
import { reveal, rowHeight, useWindow } from "./window.ts";

const columns = [
  { title: "actor", class: "name" },
  { title: "state", class: "state" },
  { title: "pid", class: "number wide" },
  { title: "rss", class: "number middle short" },
  { title: "cpu", class: "number short" },
  { title: "up", class: "number wide short" },
  { title: "calls/s", class: "number" },
  { title: "p50 ms", class: "number wide" },
  { title: "p99 ms", class: "number middle" },
  { title: "err", class: "number short" },
  { title: "last minute", class: "graph wide" },
] as const;

/** How many rows a page key passes. */
const pageRows = 15;
const symbols = { ready: "●", waiting: "○", draining: "◐", silent: "◌", unseen: "?", ended: "✕" } as const;
const tones = {
  ready: "good",
  waiting: "dim",
  draining: "fair",
  silent: "bad",
  unseen: "fair",
  ended: "bad",
} as const;

export function Tree({ model }: { readonly model: Model }): JSX.Element {
  const rows = model.rows.value;
  const sight = useWindow(rows.length);
  const selected = model.selected.value;
  const onKeyDown = (event: KeyboardEvent): void => {
    const row = keyedRow(event, model, rows);
    if (row === undefined) return;
    event.preventDefault();
    model.select(rows[row]!.actor.uuid);
    if (sight.scroller.current !== null) reveal(sight.scroller.current, row);
  };
  const drawn = rows.slice(sight.first, sight.end);
  const uuids = drawn.map(({ actor }) => actor.uuid);
  useEffect(() => {
    model.inSight.value = uuids;
  }, [uuids.join(" ")]);
  const isSelectedDrawn = selected !== null && uuids.includes(selected);
  return (
    <section class="tree" aria-labelledby="tree-title">
      <div class="title">
        <h2 id="tree-title">Tree</h2>
        <input
          id="filter"
          type="search"
          placeholder="filter ( / )"
          aria-label="Filter the tree by name, uuid or pid"
          value={model.filter.value}
          onInput={(event) => (model.filter.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") model.filter.value = "";
          }}
        />
      </div>
      <div class="scroller" ref={sight.scroller} onScroll={sight.onScroll}>
        <div
          class="grid"
          role="treegrid"
          aria-label="Actors"
          aria-rowcount={rows.length + 1}
          aria-activedescendant={isSelectedDrawn ? `row-${selected}` : undefined}
          tabIndex={0}
          onKeyDown={onKeyDown}
        >
          <div role="row" aria-rowindex={1} class="row head">
            {columns.map((column) => (
              <div key={column.title} role="columnheader" class={column.class}>
                {column.title}
              </div>
            ))}
          </div>
          <div role="rowgroup" class="rows" style={{ height: `${rows.length * rowHeight}px` }}>
            {drawn.map((row, at) => (
              <Row key={row.actor.uuid} row={row} index={sight.first + at} model={model} />
            ))}
          </div>
        </div>
        {rows.length === 0 && <Empty model={model} />}
      </div>
    </section>
  );
}

function Empty({ model }: { readonly model: Model }): JSX.Element {
  if (model.filter.value !== "") return <p class="dim">no actor matches “{model.filter.value}”</p>;
  return <p class="dim">{model.connection.value === "live" ? "no actor is registered" : "…"}</p>;
}

/** Which row a key leads to. */
function keyedRow(event: KeyboardEvent, model: Model, rows: readonly TreeRow[]): number | undefined {
  const at = rows.findIndex(({ actor }) => actor.uuid === model.selected.peek());
  const row = rows[at];
  const to = (index: number): number | undefined =>
    rows.length === 0 ? undefined : Math.max(0, Math.min(rows.length - 1, index));
  switch (event.key) {
    case "ArrowDown":
      return to(at + 1);
    case "ArrowUp":
      return to(at < 0 ? rows.length - 1 : at - 1);
    case "Home":
      return to(0);
    case "End":
      return to(rows.length - 1);
    case "PageDown":
      return to(at + pageRows);
    case "PageUp":
      return to(at - pageRows);
    case "ArrowRight":
      if (row !== undefined && row.childCount > 0 && !row.isOpen) model.fold(row.actor.uuid, false);
      else if (row !== undefined && row.childCount > 0) return to(at + 1);
      return row && at;
    case "ArrowLeft": {
      if (row === undefined) return undefined;
      if (row.childCount > 0 && row.isOpen) model.fold(row.actor.uuid, true);
      else if (row.level > 1) return rows.findIndex(({ actor }) => actor.uuid === row.actor.parent);
      return at;
    }
    default:
      return undefined;
  }
}

interface RowProps {
  readonly row: TreeRow;
  readonly index: number;
  readonly model: Model;
}

function Row({ row, index, model }: RowProps): JSX.Element | null {
  const { actor, level, lines, childCount, isOpen, position, siblings } = row;
  const state = model.actors.get(actor.uuid);
  if (state === undefined) return null;
  const isSelected = model.selected.value === actor.uuid;
  const ended = state.ended.value;
  return (
    <div
      role="row"
      id={`row-${actor.uuid}`}
      style={{ top: `${index * rowHeight}px` }}
      aria-rowindex={index + 2}
      aria-level={level}
      aria-posinset={position}
      aria-setsize={siblings}
      aria-selected={isSelected}
      aria-expanded={childCount > 0 ? isOpen : undefined}
      class={ended === undefined ? "row" : "row ended"}
      onClick={() => model.select(actor.uuid)}
    >
      <div role="gridcell" class="name">
        <span class="lines" aria-hidden="true">
          {lines}
        </span>
        <span class="own">{actor.name}</span>
        {childCount > 0 && (
          <button
            type="button"
            class="fold"
            tabIndex={-1}
            aria-label={isOpen ? `fold ${actor.name}` : `unfold ${actor.name}`}
            onClick={(event) => {
              event.stopPropagation();
              model.fold(actor.uuid, isOpen);
            }}
          >
            {isOpen ? "▾" : `▸ ${childCount}`}
          </button>
        )}
      </div>
      <Cells model={model} uuid={actor.uuid} />
    </div>
  );
}

/** All that changes every second. */
function Cells({ model, uuid }: { readonly model: Model; readonly uuid: string }): JSX.Element | null {
  const state = model.actors.get(uuid);
  if (state === undefined) return null;
  const now = model.now.value;
  const { pid, startedAt } = state.info.value;
  const activity = state.activity.value;
  const ended = state.ended.value;
  void state.trouble.value;
  const { kind, text } = standingOf(state, {
    now,
    seenSince: model.seenSince.value,
  });
  const isLive = ended === undefined && kind !== "silent";
  const rates = isLive ? activity?.rates : undefined;
  const failed = activity?.failed ?? 0;
  return (
    <>
      <div role="gridcell" class="state">
        <span class={tones[kind]}>
          <span aria-hidden="true">{symbols[kind]}</span>{" "}
          <span class={kind === "ready" ? "plain" : ""}>{text}</span>
        </span>
      </div>
      <div role="gridcell" class="number wide dim">
        {pid}
      </div>
      <div role="gridcell" class="number middle short">
        {bytes(activity?.sample.rssBytes)}
      </div>
      <div role="gridcell" class={`number short${(rates?.cpu ?? 0) >= 0.9 ? " fair" : ""}`}>
        {percent(rates?.cpu)}
      </div>
      <div role="gridcell" class="number wide short">
        {duration((ended?.at ?? now) - startedAt)}
      </div>
      <div role="gridcell" class="number">
        {rate(rates?.callsPerSecond)}
      </div>
      <div role="gridcell" class="number wide">
        {ms(isLive ? activity?.p50 : undefined)}
      </div>
      <div role="gridcell" class="number middle">
        {ms(isLive ? activity?.p99 : undefined)}
      </div>
      <div role="gridcell" class={`number short ${failed > 0 ? "bad" : "dim"}`}>
        {count(activity?.failed)}
      </div>
      <div role="gridcell" class="graph wide">
        {activity !== undefined && (
          <Sparkline
            values={activity.line}
            places={60}
            width={90}
            height={16}
            label={`calls per second in the last minute, at most ${rate(Math.max(0, ...activity.line))}`}
          />
        )}
      </div>
    </>
  );
}
