/** The line at the top: where we look, and all actors together. */
import type { JSX } from "preact";

import { bytes, ms, rate } from "./format.ts";
import type { Model } from "./model.ts";

export function Header({ model }: { readonly model: Model }): JSX.Element {
  const hello = model.hello.value;
  const { actors, callsPerSecond, p99, rssBytes, cpu } = model.totals.value;
  const warnings = model.warnings.value.length;
  return (
    <header>
      <h1>furrow</h1>
      <span class="dim where" title={hello?.registryAddrs.join(", ")}>
        {hello?.registryAddrs[0] ?? ""}
      </span>
      <Connection model={model} />
      <span id="count">
        {actors} {actors === 1 ? "actor" : "actors"}
      </span>
      <span>{rate(callsPerSecond)} calls/s</span>
      <span>p99 {ms(p99)} ms</span>
      <span>{bytes(rssBytes)} memory</span>
      <span>{cpu.toFixed(2)} cores</span>
      {warnings > 0 && (
        <span class="fair">
          {warnings} {warnings === 1 ? "warning" : "warnings"}
        </span>
      )}
      <span class="dim right-end">
        {hello === undefined
          ? ""
          : `every ${hello.intervalMs / 1_000} s while visible · ${hello.mayAct ? "may act" : "read-only"}`}
      </span>
    </header>
  );
}

function Connection({ model }: { readonly model: Model }): JSX.Element {
  const trouble = model.registryTrouble.value;
  const connection = model.connection.value;
  if (connection === "live" && trouble === null)
    return (
      <span class="good" role="status">
        ● live
      </span>
    );
  const text =
    connection === "live"
      ? trouble
      : connection === "lost"
        ? "connection lost: is furrow ui still running?"
        : "connecting";
  return (
    <span class={connection === "connecting" ? "dim" : "bad"} role="status">
      {text}
    </span>
  );
}
