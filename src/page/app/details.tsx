/** The selected actor. */
import { signal, type Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import type { ActionName, DetailMessage, FunctionInfo } from "../protocol.ts";
import { request } from "./actions.ts";
import { count, duration, ms, percent, rate, short } from "./format.ts";
import type { ActorState, Model, SelectedDetail } from "./model.ts";
import { quantileMs, subtracted } from "./rates.ts";
import { Sparkline } from "./sparkline.tsx";
import { type Standing, standingOf } from "./standing.ts";

const highLagMs = 50;
/** Most calls are over by then. */
const oldMs = 5_000;

export function Details({ model }: { readonly model: Model }): JSX.Element {
  void model.changes.value;
  const uuid = model.selected.value;
  const state = uuid === null ? undefined : model.actors.get(uuid);
  if (state === undefined)
    return (
      <section class="details" aria-label="Selected actor">
        <h2>No actor selected</h2>
        <p class="dim">
          Click a row, or focus the tree and use the arrow keys: ↑ ↓ select, ← → fold and unfold.
        </p>
      </section>
    );
  return <Selected key={uuid} model={model} state={state} />;
}

function Selected({ model, state }: { readonly model: Model; readonly state: ActorState }): JSX.Element {
  const info = state.info.value;
  const activity = state.activity.value;
  const ended = state.ended.value;
  const trouble = state.trouble.value;
  const now = model.now.value;
  const standing = standingOf(state, { now, seenSince: model.seenSince.value });
  const parent = info.parent === null ? undefined : model.actors.get(info.parent)?.info.value;
  const lagMs = activity?.lagMs;
  return (
    <section class="details" aria-labelledby="details-title">
      <h2 id="details-title">
        {info.name} <span class="plain-case">#{short(info.uuid)}</span>
      </h2>
      <dl>
        <Fact name="state" value={trouble ?? standing.text} tone={toneOf(standing)} />
        <Fact name="pid" value={String(info.pid)} />
        <Fact name="up" value={duration((ended?.at ?? now) - info.startedAt)} />
        <Fact name="parent" value={parent === undefined ? "–" : `${parent.name}#${short(parent.uuid)}`} />
        <Fact name="version" value={info.version ?? "–"} />
        <Fact
          name="restarts"
          value={count(model.restarts.value)}
          tone={model.restarts.value ? "fair" : undefined}
        />
        <Fact name="cpu" value={percent(activity?.rates?.cpu)} />
        <Fact
          name="event loop late by"
          value={lagMs === undefined ? "–" : `${ms(lagMs)} ms`}
          tone={(lagMs ?? 0) >= highLagMs ? "fair" : undefined}
        />
        <Fact
          name="calls in flight"
          value={
            activity === undefined
              ? "–"
              : `${count(activity.sample.callsInFlight)}${activity.sample.callsWaiting > 0 ? `, ${count(activity.sample.callsWaiting)} wait` : ""}`
          }
        />
        <OldestCall detail={model.detail.value?.now} />
        <Fact name="addresses" value={info.addrs.join(" ") || "–"} />
      </dl>
      {model.hello.value?.mayAct === true && ended === undefined && (
        <Actions uuid={info.uuid} name={info.name} />
      )}
      {activity !== undefined && (
        <Sparkline
          values={activity.line}
          places={60}
          width={360}
          height={48}
          label="calls per second in the last minute"
        />
      )}
      <Functions detail={model.detail.value} state={state} />
    </section>
  );
}

function toneOf({ kind }: Standing): string {
  if (kind === "ended" || kind === "silent") return "bad";
  return kind === "ready" || kind === "waiting" ? "good" : "fair";
}

/** The call that has been in flight for longest. */
function OldestCall({ detail }: { readonly detail: DetailMessage | undefined }): JSX.Element {
  const oldest = detail?.oldestCall;
  if (detail === undefined || oldest === null || oldest === undefined)
    return <Fact name="oldest call" value="–" />;
  const { name, ageMs } = oldest;
  const age = ageMs === null ? `over ${duration(detail.clockMs - detail.sinceMs)}` : duration(ageMs);
  const isOld = ageMs === null || ageMs >= oldMs;
  return <Fact name="oldest call" value={`${name}() ${age}`} tone={isOld ? "fair" : undefined} />;
}

interface FactProps {
  readonly name: string;
  readonly value: string;
  readonly tone?: string | undefined;
}

function Fact({ name, value, tone = "" }: FactProps): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={tone}>{value}</dd>
    </div>
  );
}

interface FunctionsProps {
  readonly detail: SelectedDetail | undefined;
  readonly state: ActorState;
}

/** All that it exposes; those that were called first. */
function Functions({ detail, state }: FunctionsProps): JSX.Element {
  const called = detail?.now.functions ?? [];
  const names = new Set(called.map(({ name }) => name));
  const uncalled = state.info.value.functions.filter(({ name }) => !names.has(name));
  return (
    <>
      <h3>Functions ({called.length + uncalled.length}), times in ms</h3>
      <div class="scroller functions">
        <table aria-label="Functions of the selected actor">
          <thead>
            <tr>
              <th scope="col" class="name">
                name
              </th>
              <th scope="col" class="number rate">
                calls/s
              </th>
              <th scope="col" class="number">
                p50
              </th>
              <th scope="col" class="number">
                p99
              </th>
              <th scope="col" class="number">
                runs
              </th>
              <th scope="col" class="number">
                err
              </th>
            </tr>
          </thead>
          <tbody>
            {called.map((fn) => (
              <Called key={`${fn.verb} ${fn.name}`} fn={fn} detail={detail!} />
            ))}
            {uncalled.map(({ name, verb }) => (
              <tr key={name} class="dim">
                <td class="name">
                  {name} {verb === "run" ? "" : <span class="dim">{verb}</span>}
                </td>
                <td class="number">–</td>
                <td class="number">–</td>
                <td class="number">–</td>
                <td class="number">–</td>
                <td class="number">–</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

interface CalledProps {
  readonly fn: FunctionInfo;
  readonly detail: SelectedDetail;
}

function Called({ fn, detail }: CalledProps): JSX.Element {
  const { now, before } = detail;
  const earlier = before?.functions.find(({ name, verb }) => name === fn.name && verb === fn.verb);
  const seconds = before === undefined ? Number.NaN : (now.clockMs - before.clockMs) / 1_000;
  const buckets = subtracted(fn.buckets, earlier?.buckets);
  const errors = Object.entries(fn.errors);
  const failed = errors.reduce((sum, [, times]) => sum + times, 0);
  const isRun = fn.verb === "run";
  return (
    <tr>
      <td class="name">
        {fn.name} {isRun ? "" : <span class="dim">{fn.verb}</span>}
      </td>
      <td class="number">{seconds > 0 ? rate((fn.calls - (earlier?.calls ?? 0)) / seconds) : "–"}</td>
      <td class="number">{isRun ? ms(quantileMs(buckets, 0.5)) : "–"}</td>
      <td class="number">{isRun ? ms(quantileMs(buckets, 0.99)) : "–"}</td>
      <td class="number">{count(fn.inFlight)}</td>
      <td
        class={`number ${failed > 0 ? "bad" : "dim"}`}
        title={errors.map(([code, times]) => `${times} × ${code}`).join(", ")}
      >
        {count(failed)}
      </td>
    </tr>
  );
}

const labels = { stop: "Stop", drain: "Drain", restart: "Restart" } as const satisfies Record<
  ActionName,
  string
>;
const actionNames = ["drain", "restart", "stop"] as const satisfies readonly ActionName[];

/** Each has to be confirmed. */
function Actions({ uuid, name }: { readonly uuid: string; readonly name: string }): JSX.Element {
  const asked: Signal<ActionName | undefined> = useMemo(() => signal<ActionName | undefined>(undefined), []);
  const told: Signal<string> = useMemo(() => signal(""), []);
  const confirm = async (action: ActionName): Promise<void> => {
    asked.value = undefined;
    told.value = "…";
    told.value = (await request(action, uuid)).message;
  };
  const action = asked.value;
  return (
    <div class="actions" role="group" aria-label={`Actions on ${name}`}>
      {action === undefined ? (
        actionNames.map((one) => (
          <button key={one} type="button" onClick={() => (asked.value = one)}>
            {labels[one]}
          </button>
        ))
      ) : (
        <Question
          text={`${labels[action]} ${name}?`}
          onYes={() => void confirm(action)}
          onNo={() => (asked.value = undefined)}
        />
      )}
      <span role="status">{told.value}</span>
    </div>
  );
}

interface QuestionProps {
  readonly text: string;
  readonly onYes: () => void;
  readonly onNo: () => void;
}

function Question({ text, onYes, onNo }: QuestionProps): JSX.Element {
  useEffect(() => document.getElementById("no")?.focus(), []);
  return (
    <>
      <span role="alert">{text}</span>
      <button type="button" class="danger" onClick={onYes}>
        Yes
      </button>
      <button id="no" type="button" onClick={onNo}>
        No
      </button>
    </>
  );
}
