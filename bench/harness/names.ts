/** The names that the server process registers and the lookup rows ask for. */

/**
 * More names than a round can ask for, so that each is asked for once and none comes from the cache. A round asks for up to
 * 700 ms, warm-up included, so these last for up to 280,000 lookups a second.
 */
export const manyNames = 200_000;
/** The same for a round with many in flight, whose warm-up takes up to 3 s. */
export const evenMoreNames = 600_000;

export function nameOf(n: number): string {
  return `actor-${n}`;
}

/** The same for those of another host, which the server process mirrors. They last for as many lookups. */
export const manyFarNames = 100_000;

export function farNameOf(n: number): string {
  return `far-${n}`;
}
