/**
 * What an actor keeps of the output of its children that were started with `output: "keep"`: the end of each one's, line by line,
 * across its restarts, and for the last ones that have ended. `logs.ts` reads it. Loaded for the first such child.
 */
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";
import { LineRing } from "./line-ring.ts";
import { LineSplitter } from "./line-splitter.ts";

/** How much is kept for each child, in bytes; that includes 16 for each line. */
const keptBytes = 262_144;
/** For how many children that have ended the output is still kept: it most likely says why. */
const maxEnded = 8;

/** Cuts what a process writes into lines, which are kept from then on. */
export interface KeptStreams {
  readonly stdout: LineSplitter;
  readonly stderr: LineSplitter;
}

export interface UnfinishedLine {
  readonly id: ActorId;
  readonly isStderr: boolean;
  readonly bytes: Uint8Array;
}

/** Of one child, across its restarts. */
export class KeptOutput {
  readonly name: string;
  readonly ring: LineRing = new LineRing(keptBytes);
  readonly #onLines: () => void;
  /** The processes whose lines are still there, by their run. */
  readonly #ids = new Map<number, ActorId>();
  #run = 0;
  /** Of its last process. */
  #last: { readonly id: ActorId; readonly streams: KeptStreams } | undefined;

  constructor(name: string, onLines: () => void) {
    this.name = name;
    this.#onLines = onLines;
  }

  /** The lines that its process has begun and not ended. */
  get unfinished(): readonly UnfinishedLine[] {
    if (this.#last === undefined) return [];
    const { id, streams } = this.#last;
    return [
      { id, isStderr: false, bytes: streams.stdout.unfinished },
      { id, isStderr: true, bytes: streams.stderr.unfinished },
    ].filter(({ bytes }) => bytes.length > 0);
  }

  /** Which process a line is from. */
  idOf(run: number): ActorId {
    return this.#ids.get(run)!;
  }

  /** Keeps what a process writes from now on. */
  open(id: ActorId): KeptStreams {
    const run = ++this.#run;
    const { ring } = this;
    this.#forget();
    const keep = (isStderr: boolean): LineSplitter =>
      new LineSplitter((line, continues) => {
        ring.push(line, { time: Date.now(), run, isStderr, continues });
        if (!this.#ids.has(run)) this.#ids.set(run, id);
        this.#onLines();
      });
    const streams = { stdout: keep(false), stderr: keep(true) };
    this.#last = { id, streams };
    return streams;
  }

  /** Drops the identities of processes of which there is no line left. */
  #forget(): void {
    const runs = this.ring.runs();
    for (const run of this.#ids.keys()) if (!runs.has(run)) this.#ids.delete(run);
  }
}

const keptPart: Part<KeptOutputs> = new Part();

/** Of all kept children of an actor. */
export class KeptOutputs {
  readonly #live = new Set<KeptOutput>();
  /** The last ones that have ended, the oldest first. */
  readonly #ended: KeptOutput[] = [];
  #more: PromiseWithResolvers<void> | undefined;

  /** Those of the actor; created when first asked for. */
  static of(runtime: Runtime): KeptOutputs {
    return keptPart.ensure(runtime, () => new KeptOutputs());
  }

  /** Those that have ended come first. */
  *all(): Generator<KeptOutput, void, undefined> {
    yield* this.#ended;
    yield* this.#live;
  }

  /** Resolves when there are more lines. */
  get more(): Promise<void> {
    this.#more ??= Promise.withResolvers<void>();
    return this.#more.promise;
  }

  /** Keeps the output of a child that is about to be started for the first time. */
  add(name: string): KeptOutput {
    const output = new KeptOutput(name, () => this.#wake());
    this.#live.add(output);
    return output;
  }

  /** The child isn't started again. */
  end(output: KeptOutput): void {
    if (!this.#live.delete(output)) return;
    this.#ended.push(output);
    if (this.#ended.length <= maxEnded) return;
    const silent = this.#ended.findIndex(({ ring }) => ring.added === 0);
    this.#ended.splice(Math.max(0, silent), 1);
  }

  /** Nothing to do for each line while nobody waits. */
  #wake(): void {
    this.#more?.resolve();
    this.#more = undefined;
  }
}
