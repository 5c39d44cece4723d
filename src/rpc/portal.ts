/** Portals: the user's end of a session with another actor, or of calls to oneself. */
import { type Bounds, checkTimeout, startTimer } from "../deadline.ts";
import { PermissionDeniedError, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { type Address, rankAddresses } from "../transport/address.ts";
import { Kind } from "../wire/messages.ts";
import { type OpenDialog, openDialog } from "./caller/dialog.ts";
import type { Session } from "./session.ts";
import { StreamReader } from "./caller/stream-reader.ts";
import type { CallOptions, OpenApi, Portal, PortalClosed, PortalGroup, RunApi, StreamApi } from "./types.ts";

const defaultStopMs = 5_000;

/**
 * An object whose every string property is a function that calls it. It is made when it is first read, by a proxy behind
 * the object, and then is a property of the object: reading it again costs what any property costs (row `rpc.unix`).
 */
function verb<Api>(call: (name: string, args: unknown[]) => unknown): Api {
  const handler: ProxyHandler<object> = {
    get(_, name, verbs) {
      // "then" would make `await portal.run` a call
      if (typeof name !== "string" || name === "then") return undefined;
      const value = (...args: unknown[]): unknown => call(name, args);
      Reflect.defineProperty(verbs as object, name, { value }); // not kept where somebody has frozen it
      return value;
    },
    set: () => false,
  };
  return Object.create(new Proxy(Object.freeze(Object.create(null) as object), handler)) as Api;
}

function boundsOf(options: CallOptions): Bounds | undefined {
  checkTimeout(options.timeout);
  return options.signal === undefined && options.timeout === undefined ? undefined : options;
}

/** What both kinds of portals have: the verbs, over a session. */
abstract class SessionPortal<M> {
  readonly id: ActorId;
  abstract readonly addr: Address;
  abstract readonly closed: Promise<PortalClosed>;
  /** The verbs, made when they are first used: many a portal is only looked at. */
  #runApi: RunApi<M> | undefined;
  #streamApi: StreamApi<M> | undefined;
  #openApi: OpenApi<M> | undefined;
  readonly #session: Session;
  readonly #prefix: string;
  readonly #bounds: Bounds | undefined;
  /** The options of its calls; those of a further `with` are merged over them. */
  protected readonly options: CallOptions;

  /** `prefix` goes before every function's name. */
  constructor(session: Session, prefix: string, options: CallOptions) {
    this.id = session.peer.id;
    this.#session = session;
    this.#prefix = prefix;
    this.#bounds = boundsOf(options);
    this.options = options;
  }

  get run(): RunApi<M> {
    return (this.#runApi ??= verb<RunApi<M>>((name, args) => this.#run(name, args)));
  }

  get stream(): StreamApi<M> {
    return (this.#streamApi ??= verb<StreamApi<M>>((name, args) => this.#stream(name, args)));
  }

  get open(): OpenApi<M> {
    return (this.#openApi ??= verb<OpenApi<M>>((name, args) => this.#open(name, args)));
  }

  abstract with(options: CallOptions): Portal<M>;
  abstract [Symbol.asyncDispose](): Promise<void>;

  /** Why the portal cannot be used, or undefined. */
  protected abstract get fault(): Error | undefined;

  async cancelActor(options: { readonly timeout?: number } = {}): Promise<boolean> {
    const { timeout = defaultStopMs } = options;
    checkTimeout(timeout);
    const { fault } = this;
    if (fault !== undefined) throw fault;
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const timer = startTimer(timeout, () => resolve(false));
    this.#session.request([Kind.stop, 0]).then(
      () => resolve(true),
      (error: unknown) => {
        if (error instanceof PermissionDeniedError) reject(error);
        else resolve(false); // gone, or going, without a word
      },
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #run(name: string, args: unknown[]): Promise<unknown> {
    const { fault } = this;
    return fault === undefined
      ? this.#session.call(this.#prefix + name, args, this.#bounds)
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

/** A portal to another actor. Holds its connection open until it is disposed. */
export class RemotePortal<M = unknown> extends SessionPortal<M> implements Portal<M> {
  readonly addr: Address;
  readonly #session: Session;
  readonly #prefix: string;
  /** The portal that this one was made from by `with`: it is open no longer than that. */
  readonly #parent: RemotePortal<M> | undefined;
  /** Made when somebody asks: portals by `with` come and go, and must not gather behind the peer's own promise. */
  #closed: PromiseWithResolvers<PortalClosed> | undefined;
  #disposed = false;

  /** Takes over one `acquire` of the session's peer, unless there is a parent, which has it. */
  constructor(session: Session, prefix = "", options: CallOptions = {}, parent?: RemotePortal<M>) {
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

/** What a `LocalPortal` needs of its actor. */
export interface LocalHost {
  readonly addrs: readonly Address[];
  /** A session of the actor with itself. */
  readonly localSession: Session;
  readonly signal: AbortSignal;
}

/**
 * A portal of an actor to itself: the same shape and verbs, the same checks and copies of values and the same errors,
 * and no socket involved.
 */
export class LocalPortal<M = unknown> extends SessionPortal<M> implements Portal<M> {
  readonly addr: Address;
  readonly closed: Promise<PortalClosed>;
  readonly #host: LocalHost;
  readonly #prefix: string;

  constructor(host: LocalHost, prefix = "", options: CallOptions = {}) {
    super(host.localSession, prefix, options);
    this.addr = rankAddresses(host.addrs)[0] ?? `unix://${host.localSession.peer.id.host}/unbound`;
    this.closed = host.localSession.peer.closed;
    this.#host = host;
    this.#prefix = prefix;
  }

  with(options: CallOptions): Portal<M> {
    return new LocalPortal<M>(this.#host, this.#prefix, { ...this.options, ...options });
  }

  /** Does nothing: an actor is never out of its own reach, and all share this portal. */
  async [Symbol.asyncDispose](): Promise<void> {}

  protected get fault(): undefined {
    return undefined;
  }
}

/** The portals as one array that disposes all of them. */
export function portalGroup<M>(portals: Portal<M>[]): PortalGroup<M> {
  const dispose = async (): Promise<void> => {
    await Promise.all(portals.map((portal) => portal[Symbol.asyncDispose]()));
  };
  return Object.assign(portals, { [Symbol.asyncDispose]: dispose });
}
