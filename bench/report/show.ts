/** Formats numbers for the terminal and for documents. */
import type { Unit } from "../curves/curve.ts";

export function showNs(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(ns < 100 ? 1 : 0)} ns`;
  return ns < 1e6 ? `${(ns / 1e3).toFixed(2)} µs` : `${(ns / 1e6).toFixed(2)} ms`;
}

export function showBytes(bytes: number): string {
  return bytes < 1e4 ? `${bytes.toFixed(0)} B` : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

export function showCount(count: number): string {
  return Math.round(count).toLocaleString("en");
}

export function showRatio(ratio: number): string {
  return ratio < 0.1 ? ratio.toPrecision(2) : ratio.toFixed(2);
}

export function showSpread([least, greatest]: readonly [number, number]): string {
  return `${showRatio(least)} to ${showRatio(greatest)}`;
}

export function showValue(unit: Unit, value: number): string {
  switch (unit) {
    case "ns":
      return value < 1e9 ? showNs(value) : `${(value / 1e9).toFixed(2)} s`;
    case "bytes":
      return showSize(value);
    case "perSecond":
      return `${showCount(value)} per second`;
    case "bytesPerSecond":
      return `${showSize(value)} per second`;
  }
}

function showSize(bytes: number): string {
  const kibibytes = bytes / 1_024;
  if (Math.abs(kibibytes) < 1) return `${bytes.toFixed(0)} B`;
  return Math.abs(kibibytes) < 1_024
    ? `${kibibytes.toFixed(1)} KiB`
    : `${(kibibytes / 1_024).toFixed(1)} MiB`;
}
