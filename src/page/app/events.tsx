/** What happened, the newest first. */
import type { JSX } from "preact";

import type { EventInfo } from "../protocol.ts";
import { short, time } from "./format.ts";
import type { Model } from "./model.ts";

const tones: Record<EventInfo["what"], string> = {
  started: "good",
  restarted: "good",
  ended: "dim",
  died: "bad",
  "gave-up": "bad",
  draining: "fair",
};

export function Events({ model }: { readonly model: Model }): JSX.Element {
  const events = model.events.value;
  return (
    <section class="events" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      <div class="scroller" role="log" aria-labelledby="events-title" tabIndex={0}>
        {events.length === 0 && <p class="dim">nothing has happened since this page was opened</p>}
        {events.map(({ number, at, what, name, uuid, pid, how }) => (
          <div key={number}>
            <span class="dim">{time(at)}</span> <span class={tones[what]}>{what}</span>{" "}
            <button type="button" class="link" onClick={() => model.select(uuid)}>
              {name}#{short(uuid)}
            </button>{" "}
            <span class="dim">pid {pid}</span> {how}
          </div>
        ))}
      </div>
    </section>
  );
}
