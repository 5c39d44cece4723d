/** A curve: what it measures, at which sizes. */

/** `ns` for times, `bytes` for memory, the others for throughput. */
export type Unit = "ns" | "bytes" | "perSecond" | "bytesPerSecond";

/** One thing that a curve measures at each size: a panel of its picture. */
export interface Measure {
  readonly id: string;
  /** What it is, such as "a cold lookup". */
  readonly what: string;
  readonly unit: Unit;
  /** What `median` is, if it isn't that. */
  readonly line?: string;
  /** What `tail` is, if there is one. Default "p99". */
  readonly tail?: string;
  /** What it is compared with, in a word or two. */
  readonly baseline?: string;
  /**
   * What it should do as the size grows: need the same, need the same for each of them, or stay below the baseline, which is
   * then a goal. A knee is where the measure begins to leave that. Default "same".
   */
  readonly ideal?: "same" | "same for each" | "below the baseline";
}

/** What was measured, such as the median and p99, and the median of the baseline. */
export interface Value {
  readonly median: number;
  readonly tail?: number;
  readonly baseline?: number;
}

/** By the ids of the measures. One that has no meaning at a size is left out. */
export type Values = Readonly<Record<string, Value>>;

/** What the measuring process has to work with. */
export interface CurveScene {
  /** A folder for this point only; it is also the runtime directory. */
  readonly folder: string;
  /** Only shows that everything runs. */
  readonly isBrief: boolean;
}

export interface Curve {
  readonly id: string;
  /** The title of its picture. */
  readonly title: string;
  /** What is real and what isn't, in a sentence or two of the document. */
  readonly about: string;
  /** What a size counts, such as "instances of the name". */
  readonly counts: string;
  /** From the smallest to the largest. */
  readonly sizes: readonly number[];
  readonly measures: readonly Measure[];
  /** How many descriptors one process needs at a size. */
  descriptors?(size: number): number;
  /** Measures one size, in a process of its own. */
  measure(size: number, scene: CurveScene): Promise<Values>;
}
