/** Looks at one actor for as long as a page shows it: one stream of samples, opened again when it ends. */
import { sleep } from "../deadline.ts";
import { reachRegistered } from "../discovery/reach.ts";
import type { Registration } from "../discovery/registration.ts";
import { asError, NotExposedError, PermissionDeniedError, TimeoutError } from "../errors.ts";
import type { Inspected } from "../inspect/inspection.ts";
import type { Sample } from "../inspect/sample.ts";
import type { ActorId } from "../identity.ts";
import type { Portal } from "../rpc/types.ts";
import type { ChildEvent } from "../tree/child-events.ts";
import type { LogGap, LogLine, LogOptions } from "../tree/logs.ts";
import type { Turns } from "./turns.ts";

type Samples = AsyncGenerator<Sample, void, undefined>;

/** How long an actor may take to accept a connection, and how long to wait before the next attempt. */
const dialTimeoutMs = 5_000;
const retryMs = 2_000;
/** How long the first sample keeps the turn. */
const firstSampleMs = 1_000;

export interface ProbeHost {
  /** Bounds how many actors begin to be looked at at once. */
  readonly turns: Turns;
  /** `everyMs`: how often the actor is looked at. */
  onSample(sample: Sample, everyMs: number): void;
  /** Why the actor can't be looked at; null once it can. */
  onTrouble(uuid: string, trouble: string | null): void;
}

export class Probe {
  readonly actor: Registration;
  readonly #host: ProbeHost;
  readonly #ended = new AbortController();
  #everyMs: number;
  #trouble: string | null = null;
  /** Begins to read again, with another interval. */
  #readAgain: (() => void) | undefined;
  readonly #running: Promise<void>;

  constructor(actor: Registration, everyMs: number, host: ProbeHost) {
    this.actor = actor;
    this.#everyMs = everyMs;
    this.#host = host;
    this.#running = this.#run();
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  /** Looks so often from now on. */
  pace(everyMs: number): void {
    if (everyMs === this.#everyMs) return;
    this.#everyMs = everyMs;
    this.#readAgain?.();
  }

  /** Ends the stream. */
  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await this.#look(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#report(troubleOf(error));
        // it won't change its mind
        if (error instanceof PermissionDeniedError || error instanceof NotExposedError) return;
      }
      await sleep(retryMs, signal).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    // kept until the first sample is here: a crowd that loads at once what it measures with leaves no processor to others
    using turn = await this.#host.turns.take(signal);
    await using portal = await reach(this.actor, signal);
    // its end is the registry's to tell
    if (portal === undefined) return;
    const { stream } = portal.with({ signal });
    const over = Promise.withResolvers<void>();
    let latest: Samples | undefined;
    this.#readAgain = () => {
      const before = latest;
      const samples = (latest = stream["furrow.inspect"](this.#everyMs));
      const onFirst = (): void => {
        turn[Symbol.dispose]();
        // not before: the actor mustn't stop measuring meanwhile, and forget what it counted
        void before?.return().catch(() => {});
      };
      this.#read(samples, this.#everyMs, onFirst).then(
        () => samples === latest && over.resolve(),
        (error: unknown) => samples === latest && over.reject(error),
      );
    };
    this.#readAgain();
    const timer = setTimeout(() => turn[Symbol.dispose](), firstSampleMs);
    try {
      await over.promise;
    } finally {
      clearTimeout(timer);
      this.#readAgain = undefined;
    }
  }

  async #read(samples: Samples, everyMs: number, onFirst: () => void): Promise<void> {
    try {
      let isFirst = true;
      for await (const sample of samples) {
        if (isFirst) onFirst();
        isFirst = false;
        this.#report(null);
        this.#host.onSample(sample, everyMs);
      }
    } finally {
      onFirst();
    }
  }

  #report(trouble: string | null): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#host.onTrouble(this.actor.id.uuid, trouble);
  }
}

/** Undefined when it is gone. */
export async function connect(
  actor: Registration,
  signal: AbortSignal,
  dials: Turns,
): Promise<Portal<BuiltIns> | undefined> {
  using _turn = await dials.take(signal);
  return await reach(actor, signal);
}

async function reach(actor: Registration, signal: AbortSignal): Promise<Portal<BuiltIns> | undefined> {
  return await reachRegistered<BuiltIns>(actor, { signal, timeout: dialTimeoutMs });
}

/** What every actor serves, as far as the page uses it. */
export interface BuiltIns extends Inspected {
  "furrow.events"(): AsyncGenerator<ChildEvent>;
  "furrow.logs"(options: LogOptions): AsyncGenerator<LogLine | LogGap>;
  "furrow.restart"(uuid: string): Promise<ActorId>;
}

function troubleOf(error: unknown): string {
  if (error instanceof TimeoutError) return "it doesn't answer";
  if (error instanceof PermissionDeniedError) return "its policy doesn't let this client look at it";
  if (error instanceof NotExposedError) return "its version of furrow can't be looked at";
  return `it can't be looked at (${(asError(error) as { code?: string }).code ?? asError(error).name})`;
}
