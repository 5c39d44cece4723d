/** What the page knows, as signals: a component that reads one is drawn again when it changes, and nothing else is. */
import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";

import type {
  ActorInfo,
  ActorSample,
  ActorsMessage,
  DetailMessage,
  EventInfo,
  Hello,
  LogLineInfo,
  LogMessage,
  ServerMessage,
} from "../protocol.ts";
import { type TreeRow, treeRows } from "./forest.ts";
import { type Activity, History } from "./history.ts";
import { type StreamRow, streamRows } from "./streams.ts";
import { totalsOf, type Totals } from "./totals.ts";
import { type Warning, warningsOf } from "./warnings.ts";

/** How long an actor that has ended stays in the tree. */
const mournedMs = 60_000;
const maxEvents = 200;
const maxLogLines = 500;

export interface Ending {
  /** By the page's clock. */
  readonly at: number;
  readonly how: string | undefined;
}

/** An actor, with all that is known of it. */
export interface ActorState {
  readonly info: Signal<ActorInfo>;
  readonly activity: Signal<Activity | undefined>;
  /** Why it can't be looked at. */
  readonly trouble: Signal<string | null>;
  /** Set when it has ended. */
  readonly ended: Signal<Ending | undefined>;
  readonly history: History;
}

export interface SelectedDetail {
  readonly now: DetailMessage;
  /** An earlier one, for rates. */
  readonly before: DetailMessage | undefined;
}

export class Model {
  readonly hello: Signal<Hello | undefined> = signal(undefined);
  readonly connection: Signal<"connecting" | "live" | "lost"> = signal("connecting");
  readonly registryTrouble: Signal<string | null> = signal(null);
  /** How many actors are interested in a name, if any is; undefined while unknown. */
  readonly interests: Signal<ReadonlyMap<string, number> | undefined> = signal(undefined);
  /** The page's clock, once a second. */
  readonly now: Signal<number> = signal(Date.now());
  /** Since when the page has been getting samples without a break. */
  readonly seenSince: Signal<number> = signal(Date.now());
  readonly selected: Signal<string | null> = signal(null);
  /** The uuids of the actors whose rows are drawn. */
  readonly inSight: Signal<readonly string[]> = signal([]);
  readonly filter: Signal<string> = signal("");
  readonly folded: Signal<ReadonlySet<string>> = signal(new Set());
  readonly events: Signal<readonly EventInfo[]> = signal([]);
  readonly detail: Signal<SelectedDetail | undefined> = signal(undefined);
  /** Of the selected actor; undefined while unknown. */
  readonly restarts: Signal<number | undefined> = signal(undefined);
  readonly log: Signal<{ readonly lines: readonly LogLineInfo[]; readonly trouble: string | undefined }> =
    signal({ lines: [], trouble: undefined });
  readonly actors: ReadonlyMap<string, ActorState>;
  readonly rows: ReadonlySignal<readonly TreeRow[]>;
  /** These three are computed once a second. */
  readonly totals: Signal<Totals>;
  readonly streams: Signal<readonly StreamRow[]> = signal([]);
  readonly warnings: Signal<readonly Warning[]> = signal([]);
  /** Grows when an actor comes, changes or goes. */
  readonly changes: Signal<number> = signal(0);
  readonly #actors = new Map<string, ActorState>();
  #details: DetailMessage[] = [];

  constructor() {
    this.actors = this.#actors;
    this.totals = signal(totalsOf([]));
    this.rows = computed(() => {
      void this.changes.value;
      const infos = Array.from(this.#actors.values(), ({ info }) => info.peek());
      return treeRows(infos, this.folded.value, this.filter.value.trim());
    });
  }

  receive(message: ServerMessage): void {
    batch(() => this.#take(message));
  }

  select(uuid: string | null): void {
    if (uuid === this.selected.peek()) return;
    this.#details = [];
    batch(() => {
      this.selected.value = uuid;
      this.detail.value = undefined;
      this.restarts.value = undefined;
      this.log.value = { lines: [], trouble: undefined };
    });
  }

  fold(uuid: string, isFolded: boolean): void {
    const folded = new Set(this.folded.peek());
    if (isFolded) folded.add(uuid);
    else folded.delete(uuid);
    this.folded.value = folded;
  }

  /** Once a second. */
  tick(now: number): void {
    batch(() => {
      this.now.value = now;
      let isChanged = false;
      for (const [uuid, { ended }] of this.#actors) {
        if (ended.peek() === undefined || ended.peek()!.at > now - mournedMs) continue;
        if (uuid === this.selected.peek()) continue;
        this.#actors.delete(uuid);
        isChanged = true;
      }
      if (isChanged) this.changes.value++;
      this.sum();
    });
  }

  /** Computes what is made of all actors together. */
  sum(): void {
    const states = Array.from(this.#actors.values());
    this.streams.value = streamRows(this.#actors);
    this.totals.value = totalsOf(states);
    this.warnings.value = warningsOf(this.#actors, this.streams.peek(), {
      now: this.now.peek(),
      seenSince: this.seenSince.peek(),
    });
  }

  #take(message: ServerMessage): void {
    switch (message.type) {
      case "hello":
        this.hello.value = message;
        return;
      case "actors":
        return this.#onActors(message);
      case "samples":
        for (const sample of message.samples) this.#onSample(sample);
        return;
      case "detail":
        return this.#onDetail(message);
      case "child":
        if (message.uuid === this.selected.peek()) this.restarts.value = message.restarts;
        return;
      case "events":
        return this.#onEvents(message.events);
      case "trouble": {
        const state = this.#actors.get(message.uuid);
        if (state !== undefined) state.trouble.value = message.trouble;
        return;
      }
      case "registry":
        this.registryTrouble.value = message.trouble;
        return;
      case "interests":
        this.interests.value = new Map(message.counts);
        return;
      case "log":
        return this.#onLog(message);
    }
  }

  #onActors({ isWhole, present, gone }: ActorsMessage): void {
    if (isWhole) {
      const uuids = new Set(present.map(({ uuid }) => uuid));
      for (const uuid of this.#actors.keys()) if (!uuids.has(uuid)) this.#end(uuid);
    }
    for (const info of present) this.#set(info);
    for (const uuid of gone) this.#end(uuid);
    this.changes.value++;
    // at once: the page says what has changed before the next second
    this.sum();
  }

  #set(info: ActorInfo): void {
    const known = this.#actors.get(info.uuid);
    if (known !== undefined) {
      known.info.value = info;
      known.ended.value = undefined;
      return;
    }
    this.#actors.set(info.uuid, {
      info: signal(info),
      activity: signal(undefined),
      trouble: signal(null),
      ended: signal(undefined),
      history: new History(),
    });
  }

  #end(uuid: string): void {
    const state = this.#actors.get(uuid);
    if (state === undefined || state.ended.peek() !== undefined) return;
    state.ended.value = { at: Date.now(), how: this.#howOf(uuid) };
  }

  #howOf(uuid: string): string | undefined {
    return this.events.peek().find((event) => event.uuid === uuid && event.what === "died")?.how;
  }

  #onSample(sample: ActorSample): void {
    const state = this.#actors.get(sample.uuid);
    if (state === undefined) return;
    state.activity.value = state.history.add(sample, Date.now());
  }

  #onDetail(message: DetailMessage): void {
    if (message.uuid !== this.selected.peek()) return;
    if (this.#details[0]?.sinceMs !== message.sinceMs) this.#details = [];
    this.#details.push(message);
    while (this.#details.length > 1 && this.#details[0]!.clockMs < message.clockMs - 10_500)
      this.#details.shift();
    this.detail.value = {
      now: message,
      before: this.#details.length > 1 ? this.#details[0] : undefined,
    };
  }

  #onEvents(events: readonly EventInfo[]): void {
    const all = new Map(this.events.peek().map((event) => [event.number, event]));
    for (const event of events) {
      all.set(event.number, event);
      const state = this.#actors.get(event.uuid);
      const ended = state?.ended.peek();
      if (event.what === "died" && ended !== undefined) state!.ended.value = { ...ended, how: event.how };
    }
    this.events.value = Array.from(all.values())
      .toSorted((one, other) => other.number - one.number)
      .slice(0, maxEvents);
  }

  #onLog({ uuid, isFirst, lines, trouble }: LogMessage): void {
    if (uuid !== this.selected.peek()) return;
    const before = isFirst ? [] : this.log.peek().lines;
    this.log.value = { lines: [...before, ...lines].slice(-maxLogLines), trouble };
  }
}
