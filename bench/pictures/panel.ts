/** One diagram: two axes with units, a grid, and lines with their names at the end. */
import type { Scale } from "./scale.ts";
import { element, label, path } from "./svg.ts";

export interface Axis {
  /** What the axis shows, with its unit. */
  readonly title: string;
  readonly scale: Scale;
}

export interface Line {
  readonly name: string;
  /** The subject's line is solid, that of its slowest samples dotted, the baseline's dashed. */
  readonly side: "subject" | "tail" | "baseline";
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Marks each point; for lines with few points. */
  readonly marked?: boolean;
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  /** A point to draw a ring around. */
  readonly ring?: readonly [x: number, y: number];
}

/** The outer size of a panel, in pixels. */
export const panelSize: { readonly width: number; readonly height: number } = { width: 440, height: 292 };

const margins = { left: 62, right: 82, top: 34, bottom: 58 };
const plot = {
  width: panelSize.width - margins.left - margins.right,
  height: panelSize.height - margins.top - margins.bottom,
};
/** The names of lines that end closer together than this are moved apart. */
const nameHeight = 15;

/** Draws the panel with its upper left corner at 0, 0. */
export function drawPanel({ title, x, y, lines, ring }: Panel): string {
  const toX = (value: number): number => margins.left + x.scale.place(value) * plot.width;
  const toY = (value: number): number => margins.top + (1 - y.scale.place(value)) * plot.height;
  const drawn = lines.map((line) => ({
    ...line,
    points: line.points.map(([atX, atY]) => [toX(atX), toY(atY)] as const),
  }));
  return [
    label(title, margins.left, 18, { class: "title" }),
    ...x.scale.ticks.map((tick) => drawTickX(toX(tick.value), tick.text)),
    ...y.scale.ticks.map((tick) => drawTickY(toY(tick.value), tick.text)),
    label(x.title, margins.left + plot.width / 2, panelSize.height - 20, { "text-anchor": "middle" }),
    label(y.title, 0, 0, {
      "text-anchor": "middle",
      transform: `translate(14 ${margins.top + plot.height / 2}) rotate(-90)`,
    }),
    ...drawn.map(drawLine),
    ...(ring === undefined
      ? []
      : [element("circle", { cx: toX(ring[0]), cy: toY(ring[1]), r: 7, class: "ring" })]),
    ...drawNames(drawn),
  ].join("\n");
}

function drawTickX(x: number, text: string): string {
  const bottom = margins.top + plot.height;
  return (
    element("path", { d: `M${x.toFixed(1)} ${margins.top}V${bottom}`, class: "grid" }) +
    label(text, x, bottom + 16, { "text-anchor": "middle" })
  );
}

function drawTickY(y: number, text: string): string {
  return (
    element("path", { d: `M${margins.left} ${y.toFixed(1)}H${margins.left + plot.width}`, class: "grid" }) +
    label(text, margins.left - 6, y + 4, { "text-anchor": "end" })
  );
}

function drawLine({ points, side, marked }: Line): string {
  const marks = marked ? points.map(([cx, cy]) => element("circle", { cx, cy, r: 3, class: side })) : [];
  return [path(points, { class: `line ${side}` }), ...marks].join("");
}

/** Draws each name to the right of its line's end, from top to bottom. */
function drawNames(lines: readonly Line[]): string[] {
  const ends = lines
    .map(({ name, side, points }) => ({ name, side, y: points.at(-1)?.[1] ?? 0 }))
    .toSorted((one, other) => one.y - other.y);
  let free = Number.NEGATIVE_INFINITY;
  return ends.map(({ name, side, y }) => {
    const at = Math.max(y, free);
    free = at + nameHeight;
    return label(name, margins.left + plot.width + 6, at + 4, { class: `name ${side}` });
  });
}
