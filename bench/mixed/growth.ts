/** Whether what a process holds grows under a load that stays the same. Pure. */

/** What a process held at a time. */
export interface Held {
  readonly rss: number;
  readonly pss: number;
  readonly private: number;
  /** Live objects, after a collection. */
  readonly heap: number;
  readonly descriptors: number;
}

export interface Sample {
  /** Minutes since the load began. */
  readonly minutes: number;
  /** By the name of the process. */
  readonly held: Readonly<Record<string, Held>>;
}

/** The load's first part fills caches, compiles code and takes its memory from the kernel: that isn't growth. */
export function warmUpMinutes(minutes: number): number {
  return Math.min(2, minutes / 5);
}

/** A shorter load shows that everything runs, but not whether it grows. */
export const leastMinutes = 5;

/**
 * What a straight line through the samples may rise by from the end of the warm-up to the end of the load. A leak of one
 * small object for each request would exceed it many times; what allocators and collectors keep at one time or another
 * stays below it. PSS and RSS aren't judged: they change with what other processes share.
 */
const allowed = { private: 8 * 2 ** 20, heap: 2 * 2 ** 20, descriptors: 4 } as const;

type Judged = keyof typeof allowed;

const judged = Object.keys(allowed) as readonly Judged[];

/** How one thing has changed in one process. */
export interface Trend {
  readonly process: string;
  readonly of: keyof Held;
  readonly perMinute: number;
  /** Of the straight line, after the warm-up. */
  readonly rise: number;
  readonly grows: boolean;
}

/** All trends after the warm-up. */
export function trendsOf(samples: readonly Sample[]): Trend[] {
  const minutes = samples.at(-1)?.minutes ?? 0;
  const from = warmUpMinutes(minutes);
  const warm = samples.filter((sample) => sample.minutes >= from);
  const kinds: readonly (keyof Held)[] = ["rss", "pss", "private", "heap", "descriptors"];
  return Object.keys(samples[0]?.held ?? {}).flatMap((process) =>
    kinds.map((of): Trend => {
      const points = warm.flatMap(({ minutes: at, held }) => {
        const value = held[process]?.[of];
        return value === undefined ? [] : [[at, value] as const];
      });
      const perMinute = slope(points);
      const rise = perMinute * (minutes - from);
      const grows = minutes >= leastMinutes && isJudged(of) && rise > allowed[of];
      return { process, of, perMinute, rise, grows };
    }),
  );
}

function isJudged(of: keyof Held): of is Judged {
  return judged.includes(of as Judged);
}

/** Of the line with the least squares through the points; 0 if there is no such line. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (of: 0 | 1): number => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [above, below] = [0, 0];
  for (const [x, y] of points) {
    above += (x - meanX) * (y - meanY);
    below += (x - meanX) ** 2;
  }
  return below > 0 ? above / below : 0;
}
