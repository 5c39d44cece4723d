/** The warnings, where they can't be missed; a screen reader hears of new ones. */
import type { JSX } from "preact";

import type { Model } from "./model.ts";

const maxShown = 8;

export function Warnings({ model }: { readonly model: Model }): JSX.Element {
  const all = model.warnings.value;
  return (
    <section id="warnings" aria-label="Warnings" hidden={all.length === 0}>
      <ul aria-live="polite" aria-relevant="additions">
        {all.slice(0, maxShown).map(({ key, level, text, uuid }) => (
          <li key={key}>
            <button type="button" class={level} onClick={() => model.select(uuid)}>
              <span aria-hidden="true">! </span>
              {text}
            </button>
          </li>
        ))}
      </ul>
      {all.length > maxShown && <p class="dim">and {all.length - maxShown} more</p>}
    </section>
  );
}
