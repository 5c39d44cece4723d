/**
 * Outbound connections. Concurrent requests for the same peer share one dial. When two actors dial each other at
 * once, the acceptor with the smaller uuid refuses the other's dial as crossed, so exactly one of the two connections
 * remains.
 */
import { Deadline, sleep } from "../deadline.ts";
import {
  asError,
  HandshakeError,
  LimitError,
  type Stage,
  TimeoutError,
  TransportClosedError,
  UnauthenticatedError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { type Address, parseAddress, type Transport } from "../transport/address.ts";
import { Channel } from "./channel.ts";
import { checkExposure, linkProof, type PeerProof, secretProof } from "./credentials.ts";
import type { DialAttempt, DialObserver, DialTrace } from "./dial-trace.ts";
import type { HandshakeHost } from "./handshake-host.ts";
import { greet, type Hello, type Purpose, RefusedError } from "./handshake.ts";
import { type DialTarget, type Peer, type PeerHandler, UnreachableError } from "./peer.ts";

const log = logger("channel");

/** How long to wait for the other connection after a refusal as crossed or duplicate. */
const crossedRetryMs = 20;
/**
 * How often a dial yields to a crossing inbound one that then doesn't complete: the knock may come from an impostor
 * that never proves the uuid.
 */
const maxYields = 10;

/** How far a dial has got. */
interface Progress extends DialTrace {
  stage: Stage;
  readonly attempts: DialAttempt[];
}

interface Dial<H extends PeerHandler> extends Progress {
  readonly done: Promise<Peer<H>>;
}

/** An open link whose handshake is still to come; its transport decides how the two sides prove their identity. */
interface Opened {
  readonly channel: Channel;
  readonly transport: Transport;
}

export class Dialler<H extends PeerHandler> {
  readonly #host: HandshakeHost<H>;
  readonly #dials = new Map<string, Dial<H>>();
  /** The peer that answered at each address dialled without a target. */
  readonly #servers = new Map<Address, Peer<H>>();
  /** Channels that have not finished their handshake. */
  readonly #greeting = new Set<Channel>();

  constructor(host: HandshakeHost<H>) {
    this.#host = host;
  }

  /** Whether a dial to `uuid` is in its handshake. */
  isGreeting(uuid: string): boolean {
    return this.#dials.get(uuid)?.stage === "handshake";
  }

  /** @throws as `Peers.connect` */
  async connect(target: DialTarget, deadline: Deadline, observer?: DialObserver): Promise<Peer<H>> {
    const { uuid, transports } = target;
    const key = transports === undefined ? uuid : `${uuid} ${transports.join(" ")}`;
    for (;;) {
      const live = this.#host.index.to(target);
      if (live === undefined) {
        const dial =
          this.#dials.get(key) ?? this.#startDial(key, (progress) => this.#dialTarget(target, progress));
        observer?.onDial(uuid, dial);
        const peer = await deadline.race(() => dial.stage, dial.done);
        // the shared dial may have reached another process that claims the same uuid
        if (isUsable(peer) && peer.isHeldBy(target)) return peer.acquire();
      } else if (live.leaving === undefined) {
        return live.acquire();
      } else {
        await deadline.race("dial", live.leaving);
      }
      deadline.check("dial");
    }
  }

  /** @throws as `Peers.connectTo` */
  async connectTo(addr: Address, deadline: Deadline): Promise<Peer<H>> {
    for (;;) {
      const live = this.#servers.get(addr);
      if (isUsable(live)) return live.acquire();
      const dial =
        this.#dials.get(addr) ??
        this.#startDial(addr, async (progress) => {
          const peer = await this.#dialUntilSettled(undefined, addr, progress);
          if (peer.isOpen) this.#servers.set(addr, peer);
          return peer;
        });
      const peer = await deadline.race(() => dial.stage, dial.done);
      if (isUsable(peer)) return peer.acquire();
      deadline.check("dial");
    }
  }

  /** @throws as `Peers.probe` */
  async probe(
    addr: Address,
    deadline: Deadline,
  ): Promise<{ readonly hello: Hello; readonly localHost: string }> {
    const opened = await this.#open(addr, deadline);
    const { channel } = opened;
    const { localHost } = channel.link;
    try {
      const own: Hello = { ...this.#host.self(), purpose: "probe", target: null };
      const hello = await this.#greet(opened, own, false, deadline, (theirs) => theirs);
      return { hello, localHost };
    } finally {
      this.#greeting.delete(channel);
      void channel.close("probe");
    }
  }

  /** Drops a peer that is gone from the addresses that led to it. */
  forget(peer: Peer<H>): void {
    for (const [addr, one] of this.#servers) if (one === peer) this.#servers.delete(addr);
  }

  close(): void {
    for (const channel of this.#greeting) channel.abort(endingError());
  }

  /** `key`: a uuid with any transports required, or an address dialled without a target. */
  #startDial(key: string, work: (progress: Progress) => Promise<Peer<H>>): Dial<H> {
    const dial: Progress & { done?: Promise<Peer<H>> } = { stage: "dial", attempts: [] };
    const run = async (): Promise<Peer<H>> => {
      try {
        const peer = await work(dial);
        // hold it for the callers that wait for this dial: they acquire it in later microtasks
        peer.acquire();
        setTimeout(() => peer.release(), 0);
        return peer;
      } finally {
        this.#dials.delete(key);
      }
    };
    dial.done = run();
    dial.done.catch(() => {}); // every waiter gets the rejection; there may be none left
    this.#dials.set(key, dial as Dial<H>);
    return dial as Dial<H>;
  }

  /** Tries the target's addresses in order. */
  async #dialTarget(target: DialTarget, progress: Progress): Promise<Peer<H>> {
    const failures: Error[] = [];
    let notAbsent: Error | undefined;
    for (const addr of target.addrs) {
      const since = performance.now();
      const attempt: DialAttempt = { addr, since, ms: undefined, error: undefined };
      progress.attempts.push(attempt);
      try {
        return await this.#dialUntilSettled(target, addr, progress);
      } catch (error) {
        attempt.error = asError(error);
        log.debug?.(`dial of ${target.name} at ${addr}: ${attempt.error.message}`);
        if (error instanceof LimitError) throw error;
        if (error instanceof TimeoutError) {
          // it accepted but stays silent: a stopped process won't answer at its other addresses either
          if (error.stage === "handshake") throw error;
          notAbsent ??= error;
        } else if (error instanceof UnauthenticatedError) {
          notAbsent ??= error;
        }
        failures.push(attempt.error);
      } finally {
        attempt.ms = performance.now() - since;
      }
    }
    throw notAbsent ?? new UnreachableError(target, failures);
  }

  /** Dials one address, with or without a target, and retries while a crossing connection may come up instead. */
  async #dialUntilSettled(
    target: DialTarget | undefined,
    addr: Address,
    progress: Progress,
  ): Promise<Peer<H>> {
    const { index, limits } = this.#host;
    const deadline = new Deadline({ timeout: limits.handshakeTimeoutMs }, `dial of ${addr}`);
    for (let yields = 0; ;) {
      const known = target === undefined ? undefined : index.get(target.uuid);
      // the existing connection isn't to the actor itself, or not over a transport that will do
      const isBeside = known !== undefined && isUsable(known);
      try {
        const purpose = isBeside ? "further" : undefined;
        return await this.#dialAddress(addr, target, purpose, yields < maxYields, progress);
      } catch (error) {
        if (!(error instanceof RefusedError) || !isRetried(error)) throw error;
        if (error instanceof YieldedError) yields++;
        const settled = (): Peer<H> | undefined =>
          target === undefined ? index.get(error.uuid ?? "") : index.to(target);
        const live = settled();
        if (isUsable(live)) return live;
        await deadline.race("handshake", sleep(crossedRetryMs));
        const late = settled();
        if (isUsable(late)) return late;
      }
    }
  }

  async #dialAddress(
    addr: Address,
    target: DialTarget | undefined,
    purpose: Purpose | undefined,
    mayYield: boolean,
    progress: Progress,
  ): Promise<Peer<H>> {
    const host = this.#host;
    progress.stage = "dial";
    const opened = await this.#open(addr, undefined);
    const { channel, transport } = opened;
    const live = target === undefined ? undefined : host.index.to(target);
    if (isUsable(live)) {
      // the peer dialled this actor while the link was opening
      this.#greeting.delete(channel);
      void channel.link.close();
      return live;
    }
    progress.stage = "handshake";
    try {
      const self = host.self();
      const own: Hello = { ...self, purpose: purpose ?? self.purpose, target: target?.uuid ?? null };
      const deadline = this.#step("handshake", addr, undefined);
      return await this.#greet(opened, own, mayYield, deadline, (theirs, proof) => {
        this.#greeting.delete(channel);
        checkName(theirs, target, addr);
        // the acceptor's hello gives its own state as the purpose; this side knows what the connection is for
        const hello = purpose === undefined ? theirs : { ...theirs, purpose };
        return host.establish(hello, channel, {
          transport,
          proof,
          dialled: addr,
          isConfirmed: target !== undefined,
        });
      });
    } catch (error) {
      this.#greeting.delete(channel);
      if (channel.isOpen) channel.abort(asError(error));
      throw error;
    }
  }

  /**
   * Runs the handshake, with the proof that the link needs. `mayYield`: may give way to a dial from the other side.
   */
  #greet<T>(
    { channel, transport }: Opened,
    own: Hello,
    mayYield: boolean,
    deadline: Deadline,
    take: (theirs: Hello, proof: PeerProof) => T,
  ): Promise<T> {
    const { link } = channel;
    const byLink = linkProof(link.peer, transport === "unix", link.remote);
    if (byLink !== undefined) return greet(channel, own, deadline, (theirs) => take(theirs, byLink));
    const { secret } = this.#host.credentials;
    const proof = secretProof(secret, link);
    const { knock } = require("./knock.ts") as typeof import("./knock.ts");
    return knock(
      channel,
      own,
      secret,
      deadline,
      (theirs) => take(theirs, proof),
      ({ id }) => {
        // both dials have come equally far: the one by the smaller uuid continues
        if (mayYield && this.#host.isAccepting(id.uuid) && id.uuid < own.id.uuid)
          throw new YieldedError(id.uuid);
      },
    );
  }

  async #open(addr: Address, outer: Deadline | undefined): Promise<Opened> {
    const { limits, index, drivers } = this.#host;
    if (this.#host.isClosed) throw endingError();
    const connections = index.connections + this.#greeting.size;
    if (connections >= limits.maxConnections && !index.makeRoom({ auth: "same-user" })) {
      throw new LimitError(`maxConnections ${limits.maxConnections} reached: cannot dial ${addr}`);
    }
    const parsed = parseAddress(addr);
    const deadline = this.#step("dial", addr, outer);
    if (parsed.transport === "tcp") checkExposure(addr, parsed.host, this.#host.credentials);
    const link =
      parsed.transport === "unix"
        ? await drivers.unix.connect(parsed, deadline)
        : await drivers.tcp.connect(parsed, deadline);
    if (this.#host.isClosed) {
      link.abort();
      throw endingError();
    }
    const channel = new Channel(link, limits, undefined, this.#host.buffered);
    this.#greeting.add(channel);
    return { channel, transport: parsed.transport };
  }

  /** The deadline of one step: its own limit, or what is left of the caller's deadline if that is less. */
  #step(step: "dial" | "handshake", addr: Address, outer: Deadline | undefined): Deadline {
    const { dialTimeoutMs, handshakeTimeoutMs } = this.#host.limits;
    const own = Math.max(step === "dial" ? dialTimeoutMs : handshakeTimeoutMs, this.#host.leastStepMs);
    const timeout = Math.min(own, outer?.remainingMs ?? own);
    return new Deadline({ timeout, signal: outer?.signal }, `${step} of ${addr} (${Math.round(timeout)} ms)`);
  }
}

/** A uuid keeps its name for life, so an actor that shows another name isn't the registered one. */
function checkName({ id }: Hello, target: DialTarget | undefined, addr: Address): void {
  if (target === undefined || id.name === target.name) return;
  throw new HandshakeError(`${addr} is ${describeActor(id)}, not the actor that was looked up`);
}

function endingError(): TransportClosedError {
  return new TransportClosedError("this actor is ending");
}

/** This side withdraws its own dial. */
class YieldedError extends RefusedError {
  constructor(uuid: string) {
    super("crossed", "the peer is dialling the other way just now", uuid);
  }
}

/** Whether a connection the other way, or one that is just ending, may explain the refusal. */
function isRetried({ refusal, uuid }: RefusedError): boolean {
  return uuid !== undefined && (refusal === "crossed" || refusal === "duplicate");
}

/** Whether a connection exists and stays open: new work must not start on one that is closing by agreement. */
function isUsable<H extends PeerHandler>(peer: Peer<H> | undefined): peer is Peer<H> {
  return peer !== undefined && peer.isOpen && peer.leaving === undefined;
}
