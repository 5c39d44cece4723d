/** What the selected actor writes, as its parent keeps it. */
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { time } from "./format.ts";
import type { Model } from "./model.ts";

/** Follows as long as its reader hasn't scrolled up. */
export function Log({ model }: { readonly model: Model }): JSX.Element | null {
  const uuid = model.selected.value;
  const { lines, trouble } = model.log.value;
  const scroller = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element !== null && isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [lines]);
  if (uuid === null) return null;
  const onScroll = (): void => {
    const element = scroller.current!;
    isAtEnd.current = element.scrollTop + element.clientHeight >= element.scrollHeight - 4;
  };
  return (
    <section class="log" aria-labelledby="log-title">
      <h2 id="log-title">Log</h2>
      <div
        class="scroller"
        ref={scroller}
        onScroll={onScroll}
        tabIndex={0}
        role="log"
        aria-labelledby="log-title"
      >
        {lines.length === 0 && (
          <p class="dim">{trouble ?? 'nothing kept: an actor started with output: "keep" has a log here'}</p>
        )}
        {lines.map(({ at, stream, text }, index) => (
          <div key={index} class={stream === "stderr" ? "fair" : ""}>
            <span class="dim">{time(at)}</span> {text}
          </div>
        ))}
      </div>
    </section>
  );
}
