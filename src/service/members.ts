/** The instances of a service, as its watch reports them, and those among them that calls may go to. */
import type { ActorEvent } from "../discovery/actor-event.ts";
import { DetailedFound, type Registration } from "../discovery/registration.ts";
import type { Selection } from "../discovery/selection.ts";
import { TransportClosedError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { Instance, type InstanceHost } from "./instance.ts";

export class Members {
  /** The nearest of those that calls may go to, in the order of registration. Replaced at each change. */
  usable: readonly Instance[] = [];
  /** All of them. */
  #able: readonly Instance[] = [];
  readonly #nearest: (all: readonly Instance[]) => readonly Instance[];
  readonly #host: InstanceHost;
  readonly #selection: Selection;
  /** By uuid, in the order of registration. */
  readonly #all = new Map<string, Instance>();
  /** Made when it is read. */
  #offered: readonly Registration[] | undefined;

  /** `nearest` gives those of a list that calls go to first. */
  constructor(
    host: InstanceHost,
    selection: Selection,
    nearest: (all: readonly Instance[]) => readonly Instance[],
  ) {
    this.#nearest = nearest;
    this.#host = host;
    this.#selection = selection;
  }

  [Symbol.iterator](): IterableIterator<Instance> {
    return this.#all.values();
  }

  get(uuid: string): Instance | undefined {
    return this.#all.get(uuid);
  }

  /** See `Service.instances`. */
  get offered(): readonly Registration[] {
    this.#offered ??= Object.freeze(
      Array.from(this.#all.values()).flatMap((one) => (one.isOffered ? [one.registration] : [])),
    );
    return this.#offered;
  }

  /** Takes in what the watch reports. */
  apply(event: ActorEvent): void {
    if (event.type === "sync") this.#sync(event.actors);
    else if (event.type === "down") this.#remove(event.actor.id.uuid);
    else this.#put(event.actor);
    this.refresh();
  }

  /** Sees anew which of them calls may go to. */
  refresh(): void {
    this.#offered = undefined;
    this.#able = Array.from(this.#all.values()).filter(({ fault }) => fault === undefined);
    this.usable = this.#nearest(this.#able);
  }

  /** As `usable`, without that one. */
  usableBut(instance: Instance): readonly Instance[] {
    return this.#nearest(this.#able.filter((one) => one !== instance));
  }

  /** Why calls go to none of them, one error for each. */
  faults(): Error[] {
    return Array.from(this.#all.values()).flatMap(({ fault }) => fault ?? []);
  }

  end(reason: Error): void {
    for (const instance of this.#all.values()) instance.end(reason);
    this.#all.clear();
    this.refresh();
  }

  #sync(actors: readonly Registration[]): void {
    const uuids = new Set(actors.map(({ id }) => id.uuid));
    for (const uuid of this.#all.keys()) if (!uuids.has(uuid)) this.#remove(uuid);
    for (const actor of actors) this.#put(actor);
  }

  #put(actor: Registration): void {
    const { uuid } = actor.id;
    const known = this.#all.get(uuid);
    const instance = known ?? new Instance(this.#host, actor);
    instance.registration = actor;
    const found = new DetailedFound(actor.id, actor.addrs, actor.revision, actor);
    instance.lack = this.#selection.lacks([found])[0];
    if (known === undefined) this.#all.set(uuid, instance);
  }

  #remove(uuid: string): void {
    const instance = this.#all.get(uuid);
    if (instance === undefined) return;
    this.#all.delete(uuid);
    instance.end(new TransportClosedError(`${describeActor(instance.registration.id)} is gone`));
  }
}
