/** How many actors are interested in each name, which the registrar counts: asked time and again. */
import { sleep } from "../deadline.ts";
import { getRegistry } from "../discovery/registry.ts";
import { NotExposedError } from "../errors.ts";
import type { InterestsMessage } from "./protocol.ts";

/** The most names of one question. */
const maxAsked = 1_000;
const askTimeoutMs = 2_000;

export interface InterestHost {
  readonly everyMs: number;
  /** The names that are registered. */
  names(): ReadonlySet<string>;
  /** The counts differ from those before. */
  onCounts(counts: InterestsMessage): void;
}

export class InterestCount {
  readonly #host: InterestHost;
  readonly #ended = new AbortController();
  #last: InterestsMessage = { type: "interests", counts: [] };
  readonly #running: Promise<void>;

  constructor(host: InterestHost) {
    this.#host = host;
    this.#running = this.#run();
  }

  get last(): InterestsMessage {
    return this.#last;
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        this.#note(await countAll(Array.from(this.#host.names()), signal));
      } catch (error) {
        // a registrar of an older version doesn't count; that none answers, the list of the actors tells
        if (error instanceof NotExposedError) return;
      }
      await sleep(this.#host.everyMs, signal).catch(() => {});
    }
  }

  #note(counts: InterestsMessage["counts"]): void {
    const { counts: before } = this.#last;
    const isSame = (one: (typeof counts)[number], at: number): boolean =>
      one[0] === before[at]?.[0] && one[1] === before[at][1];
    if (this.#ended.signal.aborted || (counts.length === before.length && counts.every(isSame))) return;
    this.#last = { type: "interests", counts };
    this.#host.onCounts(this.#last);
  }
}

/** Leaves out the names in which nobody is interested. */
async function countAll(names: readonly string[], signal: AbortSignal): Promise<[string, number][]> {
  if (names.length === 0) return [];
  await using registry = await getRegistry();
  const { run } = registry.with({ signal, timeout: askTimeoutMs });
  const counts: [string, number][] = [];
  for (let at = 0; at < names.length; at += maxAsked) {
    const asked = names.slice(at, at + maxAsked);
    for (const [index, count] of (await run.countInterested(asked)).entries())
      if (count > 0) counts.push([asked[index]!, count]);
  }
  return counts;
}
