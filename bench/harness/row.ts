/** A row of the bench: what it compares, and what it needs while it runs. */
import type { Address, Transport } from "../../src/index.ts";
import type { Contest, Pace } from "./timing.ts";

interface RowFacts {
  /** Its name in documents and results; its meaning never changes. */
  readonly id: string;
  readonly transport: Transport | "none";
  /** What one call of the subject does. */
  readonly what: string;
  /** What the subject takes turns with. */
  readonly baseline: string;
  /** Returns why the row cannot run here, or undefined if it can. */
  skip?(): string | undefined;
  /** Limits the number of rounds, for a row with a long setup. */
  readonly maxRounds?: number;
}

/** A timed row: subject and baseline take turns in one process. */
export interface RaceRow extends RowFacts {
  readonly kind: "race";
  /** What the server process must do; without this, no server process is started. */
  readonly server?: ServerNeeds;
  /** What `ratio` divides: times (below 1 is faster), or calls per second (above 1 is faster). Default time. */
  readonly ratioOf?: "time" | "throughput";
  /** For operations too slow or too few for the usual pace. */
  readonly pace?: Pace;
  /** Multiplies the warm-up time: with many calls in flight, the last compilation of the code comes late. */
  readonly warmupFactor?: number;
  /** Sets up both sides in the timing process. */
  open(scene: Scene): Promise<Contest>;
}

/** A weighed row: subject and baseline each get a fresh process. */
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
  /** Registers this many more names: `nameOf(0)` and so on. */
  readonly names?: number;
  /** Mirrors this many names of another host: `farNameOf(0)` and so on. */
  readonly farNames?: number;
}

/** Bytes of memory, and the time it took to fill them. */
export interface Weight {
  readonly bytes: number;
  readonly ns: number;
}

/** What the timing process has to work with. */
export interface Scene {
  readonly transport: Transport;
  /** A folder for this round only; it is also the runtime directory. */
  readonly folder: string;
  /** Where to reach the server process, if the row needs one. */
  readonly server: ServerPlaces | undefined;
}

export interface ServerPlaces {
  readonly registryAddrs: readonly Address[];
  /** A raw socket that sends back what it receives: `serveEcho`. */
  readonly echo: RawTarget;
  /** A raw socket that sends as much as it is asked for: `serveFlood`. */
  readonly flood: RawTarget;
  /** A raw socket that passes on what one connection sends to all others: `serveFanOut`. */
  readonly fanOut: RawTarget;
  /** A socket that serves calls without furrow: `serveBare`. */
  readonly bare: RawTarget;
  /** A raw socket that receives large blocks and answers each: `serveBlocks`. */
  readonly blocks: RawTarget;
}

/** As `Bun.connect` takes it. */
export type RawTarget = { readonly unix: string } | { readonly hostname: string; readonly port: number };

/** @throws {Error} if the row doesn't declare the server that it needs */
export function serverOf({ server }: Scene): ServerPlaces {
  if (server === undefined) throw new Error("this row needs a server process but declares none");
  return server;
}
