/**
 * This actor's watches at other registrars: one for each connection and pattern, shared by all that read it. A watch
 * mirrors what the registrar has of its pattern, and ends with the connection.
 */
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import {
  asError,
  FrameError,
  RegistryUnavailableError,
  RemoteActorError,
  TransportClosedError,
} from "../errors.ts";
import { decodeFailure } from "../rpc/remote-error.ts";
import type { Answer, Session } from "../rpc/session.ts";
import { Kind, type MessageOf } from "../wire/messages.ts";
import { type ActorChange, ChangeType, type WatchListener, type WatchSource } from "./actor-event.ts";
import { decodeDetailed, type Registration } from "./registration.ts";

const part: Part<RemoteWatches> = new Part();

export class RemoteWatches {
  readonly #sessions = new Map<Session, SessionWatches>();

  private constructor(runtime: Runtime) {
    runtime.serve(Kind.change, (session, message) => this.#find(session, message[1])?.onChange(message));
    runtime.serve(Kind.state, (session, message) => this.#find(session, message[1])?.onState(message));
    runtime.serve(Kind.resync, (session, message) => this.#find(session, message[1])?.onResync(message));
    runtime.watchSessions((session) => {
      const watches = this.#sessions.get(session);
      this.#sessions.delete(session);
      for (const watch of watches?.byPattern.values() ?? []) watch.end(undefined);
    });
  }

  static of(runtime: Runtime): RemoteWatches {
    let watches = part.find(runtime);
    if (watches === undefined) part.set(runtime, (watches = new RemoteWatches(runtime)));
    return watches;
  }

  /** Opens the listener's share of the watch of that pattern. */
  open(session: Session, pattern: string, listener: WatchListener): WatchSource {
    let watches = this.#sessions.get(session);
    if (watches === undefined)
      this.#sessions.set(session, (watches = { byPattern: new Map(), byId: new Map() }));
    const { byPattern, byId } = watches;
    let watch = byPattern.get(pattern);
    if (watch === undefined) {
      watch = new RemoteWatch(session, pattern, (ended) => {
        if (byPattern.get(pattern) === ended) byPattern.delete(pattern);
        byId.delete(ended.id);
        if (byPattern.size === 0 && this.#sessions.get(session)?.byPattern === byPattern)
          this.#sessions.delete(session);
      });
      byPattern.set(pattern, watch);
      watch.ask();
      byId.set(watch.id, watch);
    }
    return watch.share(listener);
  }

  /** Undefined for a watch that was given back: its last changes are still on their way. */
  #find(session: Session, id: number): RemoteWatch | undefined {
    return this.#sessions.get(session)?.byId.get(id);
  }
}

interface SessionWatches {
  readonly byPattern: Map<string, RemoteWatch>;
  readonly byId: Map<number, RemoteWatch>;
}

/** A watch at one registrar. */
class RemoteWatch implements Answer {
  isReady = false;
  revision = 0;
  /** The id of the request, which its changes carry. */
  id = 0;
  actors = new Map<string, Registration>();
  /** Those of a state that is still arriving. */
  #coming = new Map<string, Registration>();
  readonly #session: Session;
  readonly #pattern: string;
  readonly #forget: (watch: RemoteWatch) => void;
  readonly #listeners = new Set<WatchListener>();
  #isOver = false;

  constructor(session: Session, pattern: string, forget: (watch: RemoteWatch) => void) {
    this.#session = session;
    this.#pattern = pattern;
    this.#forget = forget;
  }

  ask(): void {
    const message: [kind: typeof Kind.watch, id: number, pattern: string] = [Kind.watch, 0, this.#pattern];
    try {
      this.#session.ask(message, this);
      this.id = message[1];
    } catch (error) {
      // not before its first listener is there
      queueMicrotask(() => this.reject(error));
    }
  }

  share(listener: WatchListener): WatchSource {
    this.#listeners.add(listener);
    return new Share(this, listener);
  }

  drop(listener: WatchListener): void {
    if (!this.#listeners.delete(listener) || this.#listeners.size > 0 || this.#isOver) return;
    this.end(undefined);
    this.#session.peer.channel.post([Kind.unwatch, this.id]);
  }

  resolve(answer: unknown): void {
    if (this.#isOver) return;
    try {
      const [revision, list] = Array.isArray(answer) ? (answer as unknown[]) : [];
      this.#take(revision, list);
    } catch (error) {
      this.end(asError(error));
      throw error;
    }
  }

  reject(error: unknown): void {
    this.end(isLoss(error) ? undefined : asError(error));
  }

  /** By what is known here: a registrar may send an actor's addresses as a change of an actor that is new. */
  onChange([, , type, name, form]: MessageOf<typeof Kind.change>): void {
    if (!this.isReady) return;
    const actor = decodeDetailed(name, form);
    const { uuid } = actor.id;
    const { revision } = actor;
    const wasUp = this.actors.has(uuid);
    this.revision = revision;
    if (type !== ChangeType.down) {
      this.actors.set(uuid, actor);
      this.#tell({ type: wasUp ? "changed" : "up", actor, revision });
    } else if (this.actors.delete(uuid)) this.#tell({ type: "down", actor, revision });
  }

  onState([, , list]: MessageOf<typeof Kind.state>): void {
    if (!this.#isOver) this.#gather(list);
  }

  onResync([, , revision, list, failure]: MessageOf<typeof Kind.resync>): void {
    if (!this.isReady) return;
    if (Array.isArray(failure)) this.end(decodeFailure(failure, this.#session.peer.id));
    else this.#take(revision, list);
  }

  end(error: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#forget(this);
    for (const listener of this.#listeners) listener.onEnd(error);
  }

  #tell(change: ActorChange): void {
    for (const listener of this.#listeners) listener.onChange(change);
  }

  /** @throws {FrameError} when the state is malformed */
  #take(revision: unknown, list: unknown): void {
    if (typeof revision !== "number" || !Array.isArray(list))
      throw new FrameError(`a registrar's answer to a watch of "${this.#pattern}" is malformed`);
    this.#gather(list as unknown[]);
    this.actors = this.#coming;
    this.#coming = new Map();
    this.revision = revision;
    this.isReady = true;
    for (const listener of this.#listeners) listener.onSync();
  }

  /** @throws {FrameError} when one is malformed */
  #gather(list: readonly unknown[]): void {
    for (const entry of list) {
      const [name, form] = Array.isArray(entry) ? (entry as unknown[]) : [];
      if (typeof name !== "string") throw new FrameError("a registration without a name from a registrar");
      const actor = decodeDetailed(name, form);
      this.#coming.set(actor.id.uuid, actor);
    }
  }
}

/** Whether the registrar is gone, or isn't the registrar any more: another may take its place. */
function isLoss(error: unknown): boolean {
  if (error instanceof RemoteActorError) return error.cause instanceof RegistryUnavailableError;
  return error instanceof TransportClosedError;
}

/** One listener's share of a watch. */
class Share implements WatchSource {
  readonly #watch: RemoteWatch;
  readonly #listener: WatchListener;

  constructor(watch: RemoteWatch, listener: WatchListener) {
    this.#watch = watch;
    this.#listener = listener;
  }

  get isReady(): boolean {
    return this.#watch.isReady;
  }

  get revision(): number {
    return this.#watch.revision;
  }

  actors(): Iterable<Registration> {
    return this.#watch.actors.values();
  }

  find(uuid: string): Registration | undefined {
    return this.#watch.actors.get(uuid);
  }

  close(): void {
    this.#watch.drop(this.#listener);
  }
}
