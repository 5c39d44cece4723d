/**
 * Publishes what an actor does on channels of `node:diagnostics_channel`, whose names are API. That module is loaded only where
 * the program may use it itself (`tree/modules.ts`), and the actor is observed only while a channel has subscribers.
 */
import type { Channel } from "node:diagnostics_channel";

import type { Occurrence } from "../actor/observer.ts";
import type { Runtime } from "../actor/runtime.ts";
import { timing } from "../deadline.ts";
import type { ActorId } from "../identity.ts";
import { isRuntimeName } from "../rpc/callee/dispatch.ts";
import type { Outbox, OutboxState } from "../rpc/flow.ts";
import type { ExchangeEnds, Failure, Following, OpenExchange, Verb } from "../rpc/observer.ts";
import { Observation, type Watcher } from "./observation.ts";

/** The channels, without the prefix `furrow.` of their names. */
const names = [
  "client.call.start",
  "client.call.end",
  "server.call.start",
  "server.call.end",
  "stream.start",
  "stream.end",
  "stream.stall",
  "actor.started",
  "actor.ended",
  "actor.restarted",
  "registry.change",
  "peer.open",
  "peer.close",
] as const;
type Name = (typeof names)[number];
type Channels = Readonly<Record<Name, Channel>>;

/** A call, stream or dialog. Its start and its end publish the same object, so a subscriber can keep what belongs to it there. */
export interface RequestMessage {
  /** The actor of this process, and the other one. */
  readonly actor: ActorId;
  readonly peer: ActorId;
  /** The name of the function. */
  readonly fn: string;
  readonly verb: Verb;
  /** Whether this actor serves it, or asked for it. */
  readonly side: "callee" | "caller";
  /** At the end: how long it took. */
  ms?: number;
  /** At the end, if it failed: what was thrown. */
  error?: unknown;
}

/** A writer that waits for its reader. */
export interface StallMessage extends Omit<RequestMessage, "ms" | "error">, Omit<OutboxState, "waitsFor"> {
  readonly waitedMs: number;
}

/** A child of this actor. */
export interface ChildMessage {
  /** The actor of this process. */
  readonly actor: ActorId;
  readonly child: ActorId;
  /** In milliseconds since 1970. */
  readonly at: number;
  readonly error?: Error;
}

/** Calls `tell` with what happens to the actor's children, until the function that it returns is called. */
export type WatchChildren = (
  tell: (occurrence: Occurrence, event: Omit<ChildMessage, "actor">) => void,
) => () => void;

let channels: Channels | undefined;
/** Called when a channel may have got its first subscriber, or lost its last. */
let onChange: (() => void) | undefined;

function loadChannels(): Channels {
  if (channels !== undefined) return channels;
  const { channel } = process.getBuiltinModule("node:diagnostics_channel");
  const made = Object.fromEntries(names.map((name) => [name, reporting(channel(`furrow.${name}`))]));
  return (channels = made as unknown as Channels);
}

/** Makes a channel report its subscribers. Each method is looked up when it's called: the first subscriber replaces them all. */
function reporting(channel: Channel): Channel {
  for (const method of ["subscribe", "unsubscribe", "bindStore", "unbindStore"] as const) {
    const value = (...args: unknown[]): unknown => {
      const methods = Object.getPrototypeOf(channel) as Record<string, (...args: unknown[]) => unknown>;
      const result = methods[method]!.apply(channel, args);
      onChange?.();
      return result;
    };
    Object.defineProperty(channel, method, { value, configurable: true, writable: true });
  }
  return channel;
}

/** Publishes on the channels for as long as the actor runs. */
export function publishChannels(runtime: Runtime, watchChildren: WatchChildren): void {
  const publisher = new Publisher(runtime, loadChannels(), watchChildren);
  onChange = () => publisher.update();
  publisher.update();
  runtime.ending.onEnded(() => {
    onChange = undefined;
    publisher.stop();
  });
}

class Publisher implements Watcher {
  readonly #runtime: Runtime;
  readonly #channels: Channels;
  readonly #watchChildren: WatchChildren;
  #isAdded = false;
  #leaveChildren: (() => void) | undefined;
  /** Since when writers wait, and whether that has been published. */
  readonly #stalled = new Map<Outbox, { readonly since: number; isTold: boolean }>();
  #stallTimer: Timer | undefined;

  constructor(runtime: Runtime, all: Channels, watchChildren: WatchChildren) {
    this.#runtime = runtime;
    this.#channels = all;
    this.#watchChildren = watchChildren;
  }

  /** Observes the actor if a channel has subscribers. */
  update(): void {
    const all = this.#channels;
    const isUsed = names.some((name) => all[name].hasSubscribers);
    if (isUsed !== this.#isAdded) {
      this.#isAdded = isUsed;
      const observation = Observation.of(this.#runtime);
      if (isUsed) observation.add(this);
      else observation.remove(this);
    }
    if (!all["stream.stall"].hasSubscribers) this.#endStalls();
    const tells = (["actor.started", "actor.ended", "actor.restarted"] as const).some(
      (name) => all[name].hasSubscribers,
    );
    if (tells)
      this.#leaveChildren ??= this.#watchChildren((occurrence, event) =>
        this.notes(occurrence, () => ({ actor: this.#runtime.id, ...event })),
      );
    else this.#ignoreChildren();
  }

  stop(): void {
    if (this.#isAdded) Observation.of(this.#runtime).remove(this);
    this.#isAdded = false;
    this.#endStalls();
    this.#ignoreChildren();
  }

  #ignoreChildren(): void {
    this.#leaveChildren?.();
    this.#leaveChildren = undefined;
  }

  serves(verb: Verb, name: string, peer: ActorId): Following | undefined {
    if (this.#runtime.dispatcher.isOwn(name)) return undefined;
    const kind = verb === "run" ? "server.call" : "stream";
    return this.#begin(kind, { actor: this.#runtime.id, peer, fn: name, verb, side: "callee" });
  }

  asks(verb: Verb, name: string, peer: ActorId, _ends?: ExchangeEnds): Following | undefined {
    if (isRuntimeName(name)) return undefined;
    const kind = verb === "run" ? "client.call" : "stream";
    return this.#begin(kind, { actor: this.#runtime.id, peer, fn: name, verb, side: "caller" });
  }

  #begin(kind: "client.call" | "server.call" | "stream", message: RequestMessage): Following | undefined {
    const start = this.#channels[`${kind}.start`];
    const end = this.#channels[`${kind}.end`];
    if (!start.hasSubscribers && !end.hasSubscribers) return undefined;
    const since = performance.now();
    if (message.side === "caller") start.publish(message);
    return {
      // the stores that subscribers bind to the channel hold for what the function does
      run: (work) => start.runStores(message, work),
      end: (failure?: Failure) => {
        message.ms = performance.now() - since;
        if (failure !== undefined) message.error = failure.error;
        end.publish(message);
      },
    };
  }

  notes(occurrence: Occurrence, describe: () => object): void {
    const channel = this.#channels[occurrence];
    if (channel.hasSubscribers) channel.publish(describe());
  }

  stalls(outbox: Outbox, isStalled: boolean): void {
    if (!isStalled) {
      this.#stalled.delete(outbox);
      return;
    }
    if (!this.#channels["stream.stall"].hasSubscribers) return;
    this.#stalled.set(outbox, { since: performance.now(), isTold: false });
    if (this.#stallTimer !== undefined) return;
    this.#stallTimer = setInterval(() => this.#checkStalls(), timing.stallMs / 4);
    this.#stallTimer.unref();
  }

  /** Publishes each stall once, when it has lasted for a while: a writer that waits a moment is the rule. */
  #checkStalls(): void {
    if (this.#stalled.size === 0) return this.#endStalls();
    const now = performance.now();
    for (const [outbox, stall] of this.#stalled) {
      const waitedMs = now - stall.since;
      if (stall.isTold || waitedMs < timing.stallMs) continue;
      stall.isTold = true;
      const exchange = this.#exchangeOf(outbox);
      if (exchange === undefined) continue;
      const { name: fn, verb, side, peer } = exchange;
      const { sent, queued, credit } = outbox.state;
      const message: StallMessage = {
        actor: this.#runtime.id,
        peer,
        fn,
        verb,
        side,
        sent,
        queued,
        credit,
        waitedMs,
      };
      this.#channels["stream.stall"].publish(message);
    }
  }

  #exchangeOf(outbox: Outbox): OpenExchange | undefined {
    for (const session of this.#runtime.sessions())
      for (const exchange of session.exchanges()) if (exchange.outbox === outbox) return exchange;
    return undefined;
  }

  #endStalls(): void {
    clearInterval(this.#stallTimer);
    this.#stallTimer = undefined;
    this.#stalled.clear();
  }
}
