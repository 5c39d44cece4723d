/**
 * Makes one watch of those at several registrars. Pure: no I/O, no clock.
 *
 * Each actor has a leading registrar, the first that knew it, whose changes of it are passed on; so the order of each
 * registrar is kept, and a change that arrives from several of them counts once. An actor is down when none knows it any
 * more. While there is only one registrar, as mostly, its changes are passed on as they are.
 *
 * When a registrar is lost, its actors stay until another has taken its place or a while has passed: they register there,
 * too. Either way there is one new sync.
 */
import type { ActorChange, WatchListener, WatchSource } from "./actor-event.ts";
import type { Registration } from "./registration.ts";

interface Merged {
  actor: Registration;
  /** Undefined while its leading registrar is lost, and no other knows it. */
  leader: WatchSource | undefined;
}

/** Calls `onOver` after a while, unless the function that it returns was called before. */
export type Patience = (onOver: () => void) => () => void;

export class WatchMerge<Place> {
  readonly #listener: WatchListener;
  readonly #patience: Patience;
  readonly #sources = new Map<Place, WatchSource>();
  /** All actors, where there are several registrars. */
  #merged: Map<string, Merged> | undefined;
  #isSynced = false;
  #stopWaiting: (() => void) | undefined;

  constructor(listener: WatchListener, patience: Patience) {
    this.#listener = listener;
    this.#patience = patience;
  }

  /** Whether the whole state is known. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  get revision(): number {
    return Math.max(0, ...this.#ready().map(({ revision }) => revision));
  }

  actors(): Registration[] {
    if (this.#merged !== undefined) return Array.from(this.#merged.values(), ({ actor }) => actor);
    return this.#ready().flatMap((source) => Array.from(source.actors()));
  }

  /** The registrars to watch: opens those that are new, and closes those that aren't among them any more. */
  setPlaces(places: readonly Place[], open: (place: Place, listener: WatchListener) => WatchSource): void {
    for (const place of Array.from(this.#sources.keys())) if (!places.includes(place)) this.#remove(place);
    const added = places.filter((place) => !this.#sources.has(place));
    for (const place of added) this.#sources.set(place, open(place, this.#listenerAt(place)));
    // one that others watch, too, may be ready already
    if (added.some((place) => this.#sources.get(place)?.isReady)) this.#onReady();
  }

  #listenerAt(place: Place): WatchListener {
    return {
      onSync: () => this.#onReady(),
      onChange: (change) => this.#onChange(place, change),
      onEnd: (error) => {
        if (error === undefined) this.#remove(place);
        else this.#listener.onEnd(error);
      },
    };
  }

  close(): void {
    this.#wait(false);
    const sources = Array.from(this.#sources.values());
    this.#sources.clear();
    for (const source of sources) source.close();
  }

  #ready(): WatchSource[] {
    return Array.from(this.#sources.values()).filter(({ isReady }) => isReady);
  }

  #onReady(): void {
    if (this.#isSynced) this.#sync();
    else this.#settle();
  }

  /** Syncs when every registrar has answered; without those that are silent for a while. */
  #settle(): void {
    const ready = this.#ready().length;
    if (ready === 0) this.#wait(false);
    else if (ready === this.#sources.size) this.#sync();
    else this.#wait(true, () => this.#sync());
  }

  #sync(): void {
    this.#wait(false);
    this.#isSynced = true;
    this.#merged = this.#sources.size > 1 ? this.#merge() : undefined;
    this.#listener.onSync();
  }

  #merge(): Map<string, Merged> {
    const merged = new Map<string, Merged>();
    for (const leader of this.#ready())
      for (const actor of leader.actors())
        if (!merged.has(actor.id.uuid)) merged.set(actor.id.uuid, { actor, leader });
    return merged;
  }

  #remove(place: Place): void {
    const source = this.#sources.get(place);
    if (source === undefined) return;
    this.#sources.delete(place);
    const { isReady } = source;
    source.close();
    if (!this.#isSynced) return this.#settle();
    if (this.#ready().length === 0) {
      this.#isSynced = false;
      this.#merged = undefined;
      this.#settle();
    } else if (isReady) this.#orphan(source);
  }

  #orphan(lost: WatchSource): void {
    let orphans = 0;
    for (const one of this.#merged?.values() ?? []) {
      if (one.leader !== lost) continue;
      one.leader = undefined;
      if (!this.#findLeader(one)) orphans++;
    }
    if (orphans > 0) this.#wait(true, () => this.#sync());
  }

  #onChange(place: Place, change: ActorChange): void {
    if (!this.#isSynced) return;
    const source = this.#sources.get(place);
    const merged = this.#merged;
    if (merged === undefined) return this.#listener.onChange(change);
    const { actor, revision } = change;
    const { uuid } = actor.id;
    const known = merged.get(uuid);
    if (known === undefined) {
      if (change.type === "down") return;
      merged.set(uuid, { actor, leader: source });
      return this.#listener.onChange({ type: "up", actor, revision });
    }
    if (known.leader !== undefined && known.leader !== source) return;
    if (change.type !== "down") {
      known.leader = source;
      return this.#update(known, actor, revision);
    }
    known.leader = undefined;
    if (this.#findLeader(known)) return;
    merged.delete(uuid);
    this.#listener.onChange(change);
  }

  /** Passes the lead to another registrar that knows the actor. */
  #findLeader(one: Merged): boolean {
    for (const source of this.#ready()) {
      const actor = source.find(one.actor.id.uuid);
      if (actor === undefined) continue;
      one.leader = source;
      this.#update(one, actor, source.revision);
      return true;
    }
    return false;
  }

  #update(one: Merged, actor: Registration, revision: number): void {
    const isNews = !isSame(one.actor, actor);
    one.actor = actor;
    if (isNews) this.#listener.onChange({ type: "changed", actor, revision });
  }

  #wait(start: boolean, onOver: () => void = () => {}): void {
    if (start && this.#stopWaiting !== undefined) return;
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    if (!start) return;
    this.#stopWaiting = this.#patience(() => {
      this.#stopWaiting = undefined;
      onOver();
    });
  }
}

/** Whether two registrars say the same of an actor. Each counts revisions of its own. */
function isSame(one: Registration, other: Registration): boolean {
  return JSON.stringify({ ...one, revision: 0 }) === JSON.stringify({ ...other, revision: 0 });
}
