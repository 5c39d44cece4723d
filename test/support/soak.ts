/** How long soak tests run, and the seed that repeats a failed run. */

/** Full length with FURROW_SOAK=1, otherwise a twentieth of it. */
export const inFull: boolean = process.env["FURROW_SOAK"] === "1";

/** `full`, or a twentieth of it. */
export function scaled(full: number): number {
  return inFull ? full : Math.ceil(full / 20);
}

export const seed: number = Number(process.env["FURROW_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Prints which length runs, and how to repeat the run. */
export function announce(what: string): void {
  const form = inFull ? "in full" : "in the short form (FURROW_SOAK=1 for all of it)";
  console.log(`soak: ${what}, ${form}; FURROW_SEED=${seed}`);
}

/** Pseudo-random numbers, the same for the same seed. */
export class Chance {
  #state: number;

  constructor(from: number) {
    this.#state = from >>> 0;
  }

  /** A number from 0 up to, not including, 1; mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 up to, not including, `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
