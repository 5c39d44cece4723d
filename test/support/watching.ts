/** Reads a watch in the background, as a reader that keeps up does. */
import type { ActorEvent } from "../../src/index.ts";
import { until } from "./world.ts";

export class Watching {
  readonly events: ActorEvent[] = [];
  /** The error that ended it, if one did. */
  readonly ended: Promise<Error | undefined>;
  readonly #source: AsyncIterableIterator<ActorEvent>;
  #taken = 0;

  constructor(source: AsyncIterableIterator<ActorEvent>) {
    this.#source = source;
    this.ended = this.#read();
  }

  /** The events since the last call, once there are so many: "sync a b", "up c". */
  async take(count: number): Promise<string[]> {
    await until(() => this.events.length >= this.#taken + count);
    const events = this.events.slice(this.#taken, this.#taken + count);
    this.#taken += count;
    return events.map(shown);
  }

  /** What has come and was not taken. */
  get rest(): string[] {
    return this.events.slice(this.#taken).map(shown);
  }

  async stop(): Promise<void> {
    await this.#source.return?.();
    await this.ended;
  }

  async #read(): Promise<Error | undefined> {
    try {
      for await (const event of this.#source) this.events.push(event);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }
}

/** An event in short, with names. */
export function shown(event: ActorEvent): string {
  if (event.type !== "sync") return `${event.type} ${event.actor.id.name}`;
  const names = event.actors.map(({ id }) => id.name).toSorted();
  return ["sync", ...names].join(" ");
}
