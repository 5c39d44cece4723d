/**
 * What the open pages see: one watch of the registry, and one stream of samples for each actor, whatever the number of pages.
 * All of it runs only while a page is visible.
 */
import type { Registration } from "../discovery/registration.ts";
import type { Sample } from "../inspect/sample.ts";
import type { ChildEvent } from "../tree/child-events.ts";
import { howOf } from "../tree/death.ts";
import { ActorList } from "./actor-list.ts";
import { Children, restartsOf } from "./children.ts";
import { condensed, detailOf, infoOf } from "./condense.ts";
import { EventLog } from "./event-log.ts";
import { InterestCount } from "./interest-count.ts";
import { LogTail } from "./log-tail.ts";
import { Probe } from "./probe.ts";
import type { ActorSample, EventInfo, ServerMessage } from "./protocol.ts";
import { Turns } from "./turns.ts";

/** Samples that arrive within this time are sent together: a page with many actors draws less often. */
const gatherMs = 150;
/** Interest changes seldom: it's asked for once in so many intervals. */
const intervalsOfInterest = 2;
/** How many actors begin to be looked at at once: each loads what it measures with. */
const maxBeginning = 16;
/** How many are dialled at once for anything else. */
const maxDials = 32;

/** In a crowd, actors that nobody sees are looked at once in so many intervals. */
const intervalsUnseen = 5;

/** A page that is open. */
export interface Viewer {
  readonly isVisible: boolean;
  /** The uuid of the selected actor. */
  readonly selected: string | null;
  readonly wantsLog: boolean;
  /** The uuids of the actors whose rows are in sight, or nearly. */
  readonly inSight: ReadonlySet<string>;
  /** `isPassing`: the next message of the kind says more, so a page that is slow may go without this one. */
  send(message: ServerMessage, isPassing?: boolean): void;
}

/** What runs while a page is visible. */
interface Running {
  readonly list: ActorList;
  /** Made once the list is whole. */
  interests: InterestCount | undefined;
  readonly probes: Map<string, Probe>;
  /** Of the actors that have children, by their uuids. */
  readonly parents: Map<string, Children>;
  /** The uuids that children name, registered or not. */
  readonly named: Set<string>;
  readonly logs: Map<Viewer, LogTail>;
  readonly gathered: Map<string, ActorSample>;
  timer: Timer | undefined;
}

export interface FeedOptions {
  readonly intervalMs: number;
  /** How many actors are all looked at in each interval. */
  readonly crowd: number;
  /** See `PageOptions`. */
  readonly connect: (() => Promise<unknown>) | undefined;
}

export class Feed {
  readonly intervalMs: number;
  readonly #crowd: number;
  readonly #connect: (() => Promise<unknown>) | undefined;
  readonly #beginning = new Turns(maxBeginning);
  readonly #dials = new Turns(maxDials);
  readonly #viewers = new Set<Viewer>();
  readonly #events = new EventLog();
  #running: Running | undefined;
  readonly #ended = new AbortController();
  /** What is still ending or asked. */
  readonly #ends = new Set<Promise<void>>();

  constructor({ intervalMs, crowd, connect }: FeedOptions) {
    this.intervalMs = intervalMs;
    this.#crowd = crowd;
    this.#connect = connect;
  }

  /** How many streams of samples are open. */
  get probeCount(): number {
    return this.#running?.probes.size ?? 0;
  }

  find(uuid: string): Registration | undefined {
    return this.#running?.list.find(uuid);
  }

  /** A page has come or shows something else than before. `isFresh`: it has become visible. */
  update(viewer: Viewer, isFresh: boolean): void {
    this.#viewers.add(viewer);
    if (!viewer.isVisible) {
      this.#endLog(viewer);
      this.#endIfUnseen();
      return;
    }
    const isRunning = this.#running !== undefined;
    this.#running ??= this.#begin();
    if (isFresh && isRunning) this.#sendAll(viewer);
    this.#followLog(viewer);
    this.#askParent(viewer);
    this.#pace();
  }

  remove(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    this.#endLog(viewer);
    this.#endIfUnseen();
  }

  /** Ends everything; resolves when it has ended. */
  async end(): Promise<void> {
    this.#ended.abort();
    for (const viewer of Array.from(this.#viewers)) this.remove(viewer);
    while (this.#ends.size > 0) await Promise.all(this.#ends);
  }

  #begin(): Running {
    return {
      list: new ActorList({
        connect: async () => await this.#connect?.(),
        onActor: (actor, before, isNews) => this.#onActor(actor, before, isNews),
        onGone: (actor) => this.#onGone(actor),
        onWhole: () => this.#onWhole(),
        onTrouble: (trouble) => this.#tell({ type: "registry", trouble }),
      }),
      interests: undefined,
      probes: new Map(),
      parents: new Map(),
      named: new Set(),
      logs: new Map(),
      gathered: new Map(),
      timer: undefined,
    };
  }

  #endIfUnseen(): void {
    for (const { isVisible } of this.#viewers) if (isVisible) return;
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    clearTimeout(running.timer);
    const { list, interests, probes, parents, logs } = running;
    for (const one of [list, ...probes.values(), ...parents.values(), ...logs.values()]) this.#end(one);
    if (interests !== undefined) this.#end(interests);
  }

  #end(one: { end(): Promise<void> }): void {
    this.#track(one.end());
  }

  /** The end of this waits for it. */
  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#ends.delete(tracked));
    this.#ends.add(tracked);
  }

  #onActor(actor: Registration, before: Registration | undefined, isNews: boolean): void {
    const { probes, named } = this.#running!;
    const { uuid } = actor.id;
    if (isNews) this.#tell({ type: "actors", isWhole: false, present: [infoOf(actor)], gone: [] });
    if (before === undefined) {
      if (isNews) this.#note("started", actor.id, Date.now());
      probes.set(uuid, this.#probe(actor));
    } else if (before.state !== actor.state && actor.state === "draining") {
      this.#note("draining", actor.id, Date.now());
    }
    if (named.has(uuid)) this.#followChildren(actor);
    if (actor.parent === null || named.has(actor.parent)) return;
    named.add(actor.parent);
    const parent = this.find(actor.parent);
    if (parent !== undefined) this.#followChildren(parent);
  }

  #onGone({ id }: Registration): void {
    const { probes, parents, gathered } = this.#running!;
    this.#tell({ type: "actors", isWhole: false, present: [], gone: [id.uuid] });
    this.#note("ended", id, Date.now());
    gathered.delete(id.uuid);
    for (const map of [probes, parents]) {
      const one = map.get(id.uuid);
      if (one === undefined) continue;
      map.delete(id.uuid);
      this.#end(one);
    }
  }

  #onWhole(): void {
    const { list } = this.#running!;
    this.#running!.interests ??= new InterestCount({
      everyMs: this.intervalMs * intervalsOfInterest,
      names: () => new Set(Array.from(list.all(), ({ id }) => id.name)),
      onCounts: (counts) => this.#tell(counts),
    });
    for (const viewer of this.#viewers) {
      if (!viewer.isVisible) continue;
      this.#sendAll(viewer);
      this.#followLog(viewer);
      this.#askParent(viewer);
    }
  }

  #probe(actor: Registration): Probe {
    return new Probe(actor, this.intervalMs, {
      turns: this.#beginning,
      onSample: (sample, everyMs) => this.#onSample(sample, everyMs),
      onTrouble: (uuid, trouble) => this.#tell({ type: "trouble", uuid, trouble }),
    });
  }

  #followChildren(parent: Registration): void {
    const { parents } = this.#running!;
    if (parents.has(parent.id.uuid)) return;
    parents.set(parent.id.uuid, new Children(parent, this.#dials, (event) => this.#onChild(event)));
  }

  /** The registry tells of ordinary starts and ends. */
  #onChild({ type, id, at, error }: ChildEvent): void {
    if (type !== "started") this.#note(type, id, at, howOf(error));
  }

  #note(what: EventInfo["what"], id: Registration["id"], at: number, how?: string): void {
    const event = this.#events.add(what, id, at, how);
    if (event !== undefined) this.#tell({ type: "events", events: [event] });
  }

  /** Looks at all actors in each interval; if they are many, only at those that somebody sees. */
  #pace(): void {
    const { probes } = this.#running!;
    const seen = new Set<string | null>();
    for (const { isVisible, inSight, selected } of this.#viewers)
      if (isVisible) for (const uuid of [...inSight, selected]) seen.add(uuid);
    const isCrowd = probes.size > this.#crowd;
    for (const [uuid, probe] of probes)
      probe.pace(this.intervalMs * (isCrowd && !seen.has(uuid) ? intervalsUnseen : 1));
  }

  #onSample(sample: Sample, everyMs: number): void {
    const running = this.#running;
    if (running === undefined || !running.probes.has(sample.id.uuid)) return;
    running.gathered.set(sample.id.uuid, condensed(sample, everyMs));
    running.timer ??= setTimeout(() => this.#flush(running), gatherMs);
    for (const viewer of this.#viewers)
      if (viewer.isVisible && viewer.selected === sample.id.uuid) viewer.send(detailOf(sample), true);
  }

  #flush(running: Running): void {
    running.timer = undefined;
    const samples = Array.from(running.gathered.values());
    running.gathered.clear();
    this.#tell({ type: "samples", samples }, true);
    // there may be more actors, or fewer
    this.#pace();
  }

  #tell(message: ServerMessage, isPassing = false): void {
    for (const viewer of this.#viewers) if (viewer.isVisible) viewer.send(message, isPassing);
  }

  /** All that a page needs to begin with. */
  #sendAll(viewer: Viewer): void {
    const { list, probes, interests } = this.#running!;
    viewer.send({ type: "registry", trouble: list.trouble });
    if (!list.isWhole) return;
    viewer.send({ type: "actors", isWhole: true, present: Array.from(list.all(), infoOf), gone: [] });
    for (const { actor, trouble } of probes.values())
      if (trouble !== null) viewer.send({ type: "trouble", uuid: actor.id.uuid, trouble });
    viewer.send({ type: "events", events: this.#events.all });
    if (interests !== undefined) viewer.send(interests.last);
  }

  #followLog(viewer: Viewer): void {
    const { list, logs } = this.#running!;
    const { selected } = viewer;
    const actor = viewer.wantsLog && selected !== null ? list.find(selected) : undefined;
    if (logs.get(viewer)?.uuid === actor?.id.uuid) return;
    this.#endLog(viewer);
    if (actor === undefined) return;
    const parent = actor.parent === null ? undefined : list.find(actor.parent);
    logs.set(viewer, new LogTail(actor.id.uuid, parent, this.#dials, (message) => viewer.send(message)));
  }

  /** How often the selected actor was restarted. */
  #askParent(viewer: Viewer): void {
    const { selected } = viewer;
    const child = selected === null ? undefined : this.find(selected);
    if (child === undefined || child.parent === null) return;
    const parent = this.find(child.parent);
    if (parent === undefined) return;
    const { uuid } = child.id;
    const asking = restartsOf(uuid, parent, this.#dials, this.#ended.signal).then((restarts) => {
      if (restarts !== undefined) viewer.send({ type: "child", uuid, restarts });
    });
    this.#track(asking);
  }

  #endLog(viewer: Viewer): void {
    const log = this.#running?.logs.get(viewer);
    if (log === undefined) return;
    this.#running!.logs.delete(viewer);
    this.#end(log);
  }
}
