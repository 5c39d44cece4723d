/** Portals: what users hold of a session with another actor, or with their own. */
import { type Bounds, checkTimeout, defaultDrainMs, startTimer, wholeMs } from "../deadline.ts";
import { LimitError, PermissionDeniedError, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { type Address, rankAddresses } from "../transport/address.ts";
import { Kind } from "../wire/messages.ts";
import type { Guard } from "./callee/serving.ts";
import type { Request } from "./caller/calls.ts";
import { type OpenDialog, openDialog } from "./caller/dialog.ts";
import type { Session } from "./session.ts";
import { StreamReader } from "./caller/stream-reader.ts";
import { ambientTask } from "./task.ts";
import type { CallOptions, OpenApi, Portal, PortalClosed, PortalGroup, RunApi, StreamApi } from "./types.ts";

const defaultStopMs = 5_000;

/** The options of a portal, as the runtime makes it. */
interface PortalOptions extends CallOptions {
  /** The timeout of its calls, where `timeout` gives none. 0: none, whatever the actor's default. */
  readonly callTimeoutMs?: number | undefined;
}

/**
 * An object on which every string property is a function that calls the remote function of that name. A proxy in the
 * prototype creates each property when it is first read; from then on it's a regular property, as fast to read as any
 * other (row `rpc.unix`).
 */
export function verb<Api>(call: (name: string, args: unknown[]) => unknown): Api {
  const handler: ProxyHandler<object> = {
    get(_, name, verbs) {
      // with a "then", `await portal.run` would be a call
      if (typeof name !== "string" || name === "then") return undefined;
      const value = (...args: unknown[]): unknown => call(name, args);
      Reflect.defineProperty(verbs as object, name, { value }); // fails, harmlessly, if the object was frozen
      return value;
    },
    set: () => false,
  };
  return Object.create(new Proxy(Object.freeze(Object.create(null) as object), handler)) as Api;
}

export function boundsOf(options: CallOptions): Bounds | undefined {
  checkTimeout(options.timeout);
  return options.signal === undefined && options.timeout === undefined ? undefined : options;
}

/** The bounds of calls: `bounds`, with the default timeout (0 or undefined: none) where they have none of their own. */
export function callBoundsOf(bounds: Bounds | undefined, timeout: number | undefined): Bounds | undefined {
  if (timeout === undefined || timeout === 0 || bounds?.timeout !== undefined) return bounds;
  return { signal: bounds?.signal, timeout };
}

/** What both kinds of portals share: the verbs, over a session. */
abstract class SessionPortal<M> {
  readonly id: ActorId;
  abstract readonly addr: Address;
  abstract readonly closed: Promise<PortalClosed>;
  /** The verbs, created on first use: many portals never make a call. */
  #runApi: RunApi<M> | undefined;
  #streamApi: StreamApi<M> | undefined;
  #openApi: OpenApi<M> | undefined;
  readonly #session: Session;
  readonly #prefix: string;
  readonly #bounds: Bounds | undefined;
  /** The options for its calls; `with` merges further options over them. */
  protected readonly options: PortalOptions;

  /** `prefix` is prepended to every function name: the runtime's own functions have one. */
  constructor(session: Session, prefix: string, options: PortalOptions) {
    this.id = session.peer.id;
    this.#session = session;
    this.#prefix = prefix;
    this.#bounds = boundsOf(options);
    this.options = options;
  }

  get run(): RunApi<M> {
    return (this.#runApi ??= this.#makeRun());
  }

  get stream(): StreamApi<M> {
    return (this.#streamApi ??= verb<StreamApi<M>>((name, args) => this.#stream(name, args)));
  }

  get open(): OpenApi<M> {
    return (this.#openApi ??= verb<OpenApi<M>>((name, args) => this.#open(name, args)));
  }

  abstract with(options: CallOptions): Portal<M>;
  abstract [Symbol.asyncDispose](): Promise<void>;

  /** Why nothing can be called, or undefined if it can. */
  protected abstract get fault(): Error | undefined;

  /** Why the actor can't be asked to end. */
  protected get endFault(): Error | undefined {
    return this.fault;
  }

  async cancelActor(options: { readonly timeout?: number } = {}): Promise<boolean> {
    const { timeout = defaultStopMs } = options;
    checkTimeout(timeout);
    return await this.#end([Kind.stop, 0], timeout);
  }

  async drainActor(options: { readonly timeout?: number } = {}): Promise<boolean> {
    const { timeout = defaultDrainMs } = options;
    checkTimeout(timeout);
    return await this.#end([Kind.drain, 0, wholeMs(timeout)], timeout + defaultStopMs);
  }

  /** Asks the actor to end, and waits for the acknowledgement. */
  async #end(request: Request, waitMs: number): Promise<boolean> {
    const { endFault } = this;
    if (endFault !== undefined) throw endFault;
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const timer = startTimer(waitMs, () => resolve(false));
    this.#session.request(request).then(
      () => resolve(true),
      (error: unknown) => {
        if (error instanceof PermissionDeniedError) reject(error);
        else resolve(false); // it ended, or is ending, without an acknowledgement
      },
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #makeRun(): RunApi<M> {
    // a registrar's own functions wait as long as they are asked to
    const timeout = this.options.callTimeoutMs ?? this.#session.callTimeoutMs;
    const bounds = this.#prefix === "" ? callBoundsOf(this.#bounds, timeout) : this.#bounds;
    return verb<RunApi<M>>((name, args) => this.#run(name, args, bounds));
  }

  #run(name: string, args: unknown[], bounds: Bounds | undefined): Promise<unknown> {
    const { fault } = this;
    return fault === undefined
      ? this.#session.call(this.#prefix + name, args, bounds)
      : Promise.reject(fault);
  }

  #stream(name: string, args: unknown[]): StreamReader {
    return new StreamReader(() => {
      const { fault } = this;
      if (fault !== undefined) throw fault;
      return this.#session.exchange(Kind.stream, this.#prefix + name, args, this.#bounds);
    }, this.#bounds);
  }

  async #open(name: string, args: unknown[]): Promise<OpenDialog> {
    const { fault } = this;
    if (fault !== undefined) throw fault;
    return await openDialog(
      this.#session.exchange(Kind.open, this.#prefix + name, args, this.#bounds),
      this.#bounds,
    );
  }
}

/** A portal to another actor. Keeps the connection open until it's disposed. */
export class RemotePortal<M = unknown> extends SessionPortal<M> implements Portal<M> {
  readonly addr: Address;
  readonly #session: Session;
  readonly #prefix: string;
  /** The portal on which `with` made this one, which closes with it. */
  readonly #parent: RemotePortal<M> | undefined;
  /** Created on first use: `with` makes many short-lived portals, which must not pile up on the peer's own promise. */
  #closed: PromiseWithResolvers<PortalClosed> | undefined;
  #disposed = false;

  /** Takes over one `acquire` of the session's peer, unless there is a parent, which already holds one. */
  constructor(session: Session, prefix = "", options: PortalOptions = {}, parent?: RemotePortal<M>) {
    super(session, prefix, options);
    this.addr = session.peer.addr;
    this.#session = session;
    this.#prefix = prefix;
    this.#parent = parent;
  }

  get closed(): Promise<PortalClosed> {
    if (this.#closed === undefined) {
      const { promise, resolve } = (this.#closed = Promise.withResolvers<PortalClosed>());
      if (this.#disposed) resolve({ reason: "closed" });
      else void (this.#parent ?? this.#session.peer).closed.then(resolve);
      return promise;
    }
    return this.#closed.promise;
  }

  with(options: CallOptions): Portal<M> {
    return new RemotePortal<M>(this.#session, this.#prefix, { ...this.options, ...options }, this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#closed?.resolve({ reason: "closed" });
    if (this.#parent === undefined) this.#session.peer.release();
  }

  protected get fault(): Error | undefined {
    if (!this.#disposed) return this.#parent?.fault;
    return new TransportClosedError(`the portal to ${describeActor(this.id)} is closed`);
  }
}

/** What a `LocalPortal` needs from its actor. */
export interface LocalHost {
  readonly addrs: readonly Address[];
  /** The actor's session with itself. */
  readonly localSession: Session;
  readonly signal: AbortSignal;
  /** See `ServingHost.guard`. */
  readonly guard: Guard | undefined;
  drain(options: { readonly timeout?: number }): Promise<void>;
}

/**
 * A portal from an actor to itself. It has the same verbs, checks and errors as any portal, and copies values too, but
 * involves no socket.
 */
export class LocalPortal<M = unknown> extends SessionPortal<M> implements Portal<M> {
  readonly addr: Address;
  readonly closed: Promise<PortalClosed>;
  readonly #host: LocalHost;
  readonly #prefix: string;

  constructor(host: LocalHost, prefix = "", options: PortalOptions = {}) {
    super(host.localSession, prefix, options);
    this.addr = rankAddresses(host.addrs)[0] ?? `unix://${host.localSession.peer.id.host}/unbound`;
    this.closed = host.localSession.peer.closed;
    this.#host = host;
    this.#prefix = prefix;
  }

  with(options: CallOptions): Portal<M> {
    return new LocalPortal<M>(this.#host, this.#prefix, { ...this.options, ...options });
  }

  /** Does nothing: there is no connection to release, and the portal may be shared. */
  async [Symbol.asyncDispose](): Promise<void> {}

  /** Unlike a message to itself, this knows the task that asks: the drain doesn't wait for that one. */
  override async drainActor(options: { readonly timeout?: number } = {}): Promise<boolean> {
    await this.#host.drain(options);
    return true;
  }

  protected get fault(): Error | undefined {
    return selfCallFault(this.id, this.#host.guard);
  }

  protected override get endFault(): undefined {
    return undefined;
  }
}

/** Why the running code can't call this very actor: its call would wait for its own end. Undefined if it can. */
export function selfCallFault(id: ActorId, guard: Guard | undefined): LimitError | undefined {
  const gate = guard?.gate;
  if (gate?.places !== 1 || !gate.isInside(ambientTask())) return undefined;
  const text = `${describeActor(id)} runs one call at a time (concurrency 1), and this one calls the actor itself: it would wait for its own end. Call the function directly`;
  return new LimitError(text);
}

/** Makes the array of portals disposable: disposing it disposes all of them. */
export function portalGroup<M>(portals: Portal<M>[]): PortalGroup<M> {
  const dispose = async (): Promise<void> => {
    await Promise.all(portals.map((portal) => portal[Symbol.asyncDispose]()));
  };
  return Object.assign(portals, { [Symbol.asyncDispose]: dispose });
}
