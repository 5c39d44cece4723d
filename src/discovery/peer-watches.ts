/**
 * The watches of one peer at a registrar.
 *
 * A peer that doesn't read is left behind rather than queued for: its watches get no more changes, and once it has read
 * what it was sent, each of them gets the whole state in place of what was left out.
 */
import { ContextCancelledError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { LongList } from "../rpc/long-list.ts";
import { sendInParts } from "../rpc/parts.ts";
import { encodeFailure } from "../rpc/remote-error.ts";
import type { Session } from "../rpc/session.ts";
import type { ActorId } from "../identity.ts";
import { Kind } from "../wire/messages.ts";
import { ChangeType } from "./actor-event.ts";
import { encodeDetailed } from "./registration.ts";
import type { StoredRegistration } from "./stored-registration.ts";
import type { RegistryTable } from "./table.ts";
import { matching, type TableChange, type Watcher } from "./table-change.ts";

/** A peer with more unsent bytes than this is left behind. */
const maxUnsentBytes = 65_536;
/** While the state of a watch is being sent, so many changes wait for that; with more, the watch is left behind. */
const mostWaiting = 1_024;

/** What they need of the registrar. */
export interface WatchHost {
  readonly id: ActorId;
  readonly table: RegistryTable;
  readonly limits: Limits;
  /** Called after each message that is pushed. */
  onPush(session: Session): void;
  /** A watch gets changes from now on. */
  onBegun(watch: PeerWatch): void;
  /** A watch is over, though the peer hasn't given it back. */
  onOver(watch: PeerWatch): void;
}

/** What comes after the parts of a state. */
interface RestOfState {
  send(revision: number, list: unknown[]): void;
  /** It can't be sent, and the watch is over. */
  fail(error: unknown): void;
  /** The watch was given back meanwhile. */
  giveUp(error: unknown): void;
}

export class PeerWatches {
  readonly session: Session;
  readonly #host: WatchHost;
  readonly #byId = new Map<number, PeerWatch>();
  readonly #behind = new Set<PeerWatch>();

  constructor(session: Session, host: WatchHost) {
    this.session = session;
    this.#host = host;
  }

  get size(): number {
    return this.#byId.size;
  }

  has(watch: PeerWatch): boolean {
    return this.#byId.get(watch.id) === watch;
  }

  /** Adds a watch that has yet to get its first state. */
  add(id: number, pattern: string): PeerWatch {
    const watch = new PeerWatch(this, id, pattern);
    this.#byId.set(id, watch);
    return watch;
  }

  remove(id: number): PeerWatch | undefined {
    const watch = this.#byId.get(id);
    if (watch === undefined) return undefined;
    this.#byId.delete(id);
    this.#behind.delete(watch);
    return watch;
  }

  /** Removes all watches, and returns them. */
  clear(): PeerWatch[] {
    const watches = Array.from(this.#byId.values());
    this.#byId.clear();
    this.#behind.clear();
    return watches;
  }

  /** Answers the request of a watch with the whole state. */
  answer(watch: PeerWatch): void {
    const { channel } = this.session.peer;
    this.#sendState(watch, {
      // not `session.reply`: a watch whose state doesn't fit is over
      send: (revision, list) => channel.sendControl([Kind.result, watch.id, [revision, list]], true),
      fail: (error) => this.session.replyError(watch.id, error),
      giveUp: (error) => this.session.replyError(watch.id, error),
    });
  }

  push(watch: PeerWatch, change: TableChange, form: unknown[]): void {
    const { channel } = this.session.peer;
    if (!this.has(watch) || this.#behind.has(watch)) return;
    // its state has it
    if (change.revision <= watch.since) return;
    if (watch.isSending) {
      // before its first part has left, the state will have it
      if (watch.waiting === undefined) return;
      if (watch.waiting.length < mostWaiting) watch.waiting.push(change);
      else watch.missed = true;
      return;
    }
    if (channel.link.pendingBytes > maxUnsentBytes) {
      this.#leaveBehind(watch);
      return;
    }
    channel.post([Kind.change, watch.id, ChangeType[change.type], change.stored.name, form]);
    this.#host.onPush(this.session);
  }

  /** Sends those that were left behind the whole state, one after the other as the peer reads. */
  async #catchUp(): Promise<void> {
    const { channel } = this.session.peer;
    while (this.#behind.size > 0 && channel.isOpen) {
      await channel.link.drained();
      for (const watch of this.#behind) {
        if (!channel.isOpen || channel.link.pendingBytes > 0) break;
        this.#behind.delete(watch);
        this.#resync(watch);
      }
    }
  }

  #resync(watch: PeerWatch): void {
    const { channel } = this.session.peer;
    this.#host.onPush(this.session);
    this.#sendState(watch, {
      send: (revision, list) => channel.sendControl([Kind.resync, watch.id, revision, list], true),
      fail: (error) => channel.post([Kind.resync, watch.id, 0, [], encodeFailure(error, this.#host.id)]),
      giveUp() {},
    });
  }

  /** Sends the state as it is when its first part leaves; changes after that wait until all of it has been sent. */
  #sendState(watch: PeerWatch, rest: RestOfState): void {
    const { table, limits } = this.#host;
    const { channel } = this.session.peer;
    let revision = 0;
    const check = (): void => {
      if (!this.has(watch)) throw new ContextCancelledError(this.session.peer.id, "the watch was given back");
    };
    const begin = (): readonly StoredRegistration[] => {
      check();
      revision = watch.since = table.revision;
      watch.waiting = [];
      this.#host.onBegun(watch);
      return matching(table, watch.pattern);
    };
    watch.isSending = true;
    watch.missed = false;
    const list = LongList.of(begin, (stored) => [stored.name, encodeDetailed(stored)]);
    sendInParts(channel, limits, list, {
      sendPart: (part) => {
        check();
        return channel.send([Kind.state, watch.id, part]);
      },
      sendLast: (part) => {
        check();
        rest.send(revision, part);
        this.#release(watch);
      },
      fail: (error) => {
        if (!this.has(watch)) return rest.giveUp(error);
        this.remove(watch.id);
        this.#host.onOver(watch);
        rest.fail(error);
      },
    });
  }

  /** Sends the changes that have waited for the state. */
  #release(watch: PeerWatch): void {
    const { waiting = [], missed } = watch;
    watch.waiting = undefined;
    watch.isSending = false;
    if (missed) this.#leaveBehind(watch);
    else for (const change of waiting) watch.onChange(change);
  }

  #leaveBehind(watch: PeerWatch): void {
    this.#behind.add(watch);
    if (this.#behind.size === 1) void this.#catchUp();
  }
}

/** One watch of a peer. */
export class PeerWatch implements Watcher {
  readonly id: number;
  readonly pattern: string;
  /** The revision of its state: changes up to that may still be on their way. */
  since = 0;
  /** Whether its state is being sent, or about to be. */
  isSending = false;
  /** The changes since its state was begun, until all of that has been sent. */
  waiting: TableChange[] | undefined;
  /** Whether there were too many. */
  missed = false;
  readonly #watches: PeerWatches;

  constructor(watches: PeerWatches, id: number, pattern: string) {
    this.#watches = watches;
    this.id = id;
    this.pattern = pattern;
  }

  get holder(): object {
    return this.#watches.session;
  }

  onChange(change: TableChange): void {
    // made once for all peers
    change.form ??= encodeDetailed(change.stored, change.revision);
    this.#watches.push(this, change, change.form);
  }
}
