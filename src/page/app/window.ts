/** Which rows of a long table are in sight: only those are drawn, between two rows as high as the others. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";

export const rowHeight = 24;
/** Rows beyond the edges, so that scrolling doesn't outrun drawing. */
const beyond = 12;

export interface RowWindow {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly first: number;
  readonly end: number;
  readonly onScroll: () => void;
}

export function useWindow(count: number): RowWindow {
  const scroller = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ top: 0, height: 600 });
  const measure = (): void => {
    const element = scroller.current;
    if (element === null) return;
    const top = Math.floor(element.scrollTop / rowHeight);
    const height = element.clientHeight;
    setRange((known) => (known.top === top && known.height === height ? known : { top, height }));
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  const first = Math.max(0, Math.min(range.top - beyond, count - 1));
  const end = Math.min(count, range.top + Math.ceil(range.height / rowHeight) + beyond);
  return {
    scroller,
    first,
    end,
    onScroll: measure,
  };
}

/** Scrolls as little as it takes to show a row below a head that stays. */
export function reveal(scroller: HTMLElement, row: number): void {
  const top = row * rowHeight;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  const bottom = top + 2 * rowHeight;
  if (bottom > scroller.scrollTop + scroller.clientHeight)
    scroller.scrollTop = bottom - scroller.clientHeight;
}
