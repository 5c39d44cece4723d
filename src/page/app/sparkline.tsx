/** A line of the last values, as wide as its place. */
import type { JSX } from "preact";

export interface SparklineProps {
  readonly values: readonly number[];
  /** How many values fill the width. */
  readonly places: number;
  readonly width: number;
  readonly height: number;
  readonly label: string;
}

export function Sparkline({ values, places, width, height, label }: SparklineProps): JSX.Element {
  const most = Math.max(1, ...values);
  const step = width / (places - 1);
  const first = places - values.length;
  const points = values
    .map(
      (value, at) =>
        `${((first + at) * step).toFixed(1)},${(height - 1 - (value / most) * (height - 2)).toFixed(1)}`,
    )
    .join(" ");
  return (
    <svg
      class="line"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <polyline points={points} fill="none" stroke="currentColor" vector-effect="non-scaling-stroke" />
    </svg>
  );
}
