/** The registered actors, as a watch of the registry tells of them. */
import { sleep } from "../deadline.ts";
import type { ActorEvent } from "../discovery/actor-event.ts";
import type { Registration } from "../discovery/registration.ts";
import { watchActors } from "../discovery/watch-actors.ts";
import { asError } from "../errors.ts";

/** So short because it's what a page waits for where its program has just been started. */
const retryMs = 200;

export interface ActorListHost {
  /** Opens this process's client if it has yet to be opened. */
  connect(): Promise<unknown>;
  /** An actor is there, or is another than `before`. `isNews`: it came while the registry was watched. */
  onActor(actor: Registration, before: Registration | undefined, isNews: boolean): void;
  onGone(actor: Registration): void;
  /** The list is whole, after the calls for what differs. */
  onWhole(): void;
  /** Why the registry can't be watched; null once it can again. */
  onTrouble(trouble: string | null): void;
}

export class ActorList {
  readonly #host: ActorListHost;
  readonly #actors = new Map<string, Registration>();
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #isWhole = false;
  #trouble: string | null = null;

  constructor(host: ActorListHost) {
    this.#host = host;
    this.#running = this.#run();
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  all(): IterableIterator<Registration> {
    return this.#actors.values();
  }

  find(uuid: string): Registration | undefined {
    return this.#actors.get(uuid);
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await this.#host.connect();
        for await (const event of watchActors("*", { signal })) {
          if (signal.aborted) return;
          this.#report(null);
          this.#apply(event);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#report(`the registry can't be watched: ${asError(error).message}`);
      }
      await sleep(retryMs, signal).catch(() => {});
    }
  }

  #report(trouble: string | null): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#host.onTrouble(trouble);
  }

  #apply(event: ActorEvent): void {
    if (event.type === "sync") this.#sync(event.actors);
    else if (event.type === "down") this.#remove(event.actor);
    else this.#set(event.actor);
  }

  #sync(actors: readonly Registration[]): void {
    const uuids = new Set(actors.map(({ id }) => id.uuid));
    for (const actor of Array.from(this.#actors.values())) if (!uuids.has(actor.id.uuid)) this.#remove(actor);
    for (const actor of actors) this.#set(actor);
    this.#isWhole = true;
    this.#host.onWhole();
  }

  #set(actor: Registration): void {
    const before = this.#actors.get(actor.id.uuid);
    this.#actors.set(actor.id.uuid, actor);
    this.#host.onActor(actor, before, this.#isWhole);
  }

  #remove(actor: Registration): void {
    if (this.#actors.delete(actor.id.uuid)) this.#host.onGone(actor);
  }
}
