/** What a row of the bench is, and where it is timed. */
import type { Address, Transport } from "../src/index.ts";
import type { Contest, Pace } from "./harness.ts";

interface RowFacts {
  /** Its name in the contract; never changes its meaning. */
  readonly id: string;
  readonly transport: Transport | "none";
  /** What one call of the subject does. */
  readonly what: string;
  /** What takes turns with it. */
  readonly baseline: string;
  /** Why it cannot run on this machine, or undefined. */
  skip?(): string | undefined;
  /** Fewer rounds than usual, for a row that takes long to set up. */
  readonly maxRounds?: number;
}

/** A row that is timed: subject and baseline in turn, in one process. */
export interface RaceRow extends RowFacts {
  readonly kind: "race";
  /** The other process, where there is one. */
  readonly server?: ServerNeeds;
  /** What `ratio` divides: times (below 1 is faster), or calls per second (above 1 is faster). Default time. */
  readonly ratioOf?: "time" | "throughput";
  /** For operations that are too slow, or too few, for the usual pace. */
  readonly pace?: Pace;
  /** Has both sides warmed up so many times as long: many calls in flight run code that is compiled for the last time late. */
  readonly warmupFactor?: number;
  /** Sets the scene in the timing process. */
  open(scene: Scene): Promise<Contest>;
}

/** A row that is weighed: subject and baseline each in a fresh process of its own. */
export interface WeighRow extends RowFacts {
  readonly kind: "weigh";
  weighSubject(scene: Scene): Promise<Weight>;
  weighBaseline(scene: Scene): Promise<Weight>;
}

export type Row = RaceRow | WeighRow;

/** What the server process does besides answering raw echoes and being the registrar. */
export interface ServerNeeds {
  /** Starts an actor named "target" in a third process. */
  readonly target?: boolean;
  /** Puts this many further names into the table: `name(0)` and so on. */
  readonly names?: number;
}

/** Bytes of memory, and how long making it took. */
export interface Weight {
  readonly bytes: number;
  readonly ns: number;
}

/** What the timing process finds. */
export interface Scene {
  readonly transport: Transport;
  /** A folder of this round alone; it is the runtime directory, too. */
  readonly folder: string;
  /** Where the server process is, when the row needs one. */
  readonly server: ServerPlaces | undefined;
}

export interface ServerPlaces {
  readonly registryAddrs: readonly Address[];
  /** Its raw socket, which sends back what it gets. */
  readonly echo: RawTarget;
  /** Its raw socket that sends what it is asked for: see `serveFlood`. */
  readonly flood: RawTarget;
  /** Its socket that serves calls without furrow: see `serveBare`. */
  readonly bare: RawTarget;
}

/** As `Bun.connect` takes it. */
export type RawTarget = { readonly unix: string } | { readonly hostname: string; readonly port: number };
