/**
 * The watches of one peer at a registrar.
 *
 * A peer that doesn't read is left behind rather than queued for: its watches get no more changes, and once it has read
 * what it was sent, each of them gets the whole state in place of what was left out.
 */
import { encodeFailure } from "../rpc/remote-error.ts";
import type { Session } from "../rpc/session.ts";
import type { ActorId } from "../identity.ts";
import { Kind } from "../wire/messages.ts";
import { ChangeType } from "./actor-event.ts";
import { encodeDetailed } from "./registration.ts";
import type { RegistryTable } from "./table.ts";
import { matching, type TableChange, type Watcher } from "./table-change.ts";

/** A peer with more unsent bytes than this is left behind. */
const maxUnsentBytes = 65_536;
/**
 * To so many peers a change goes with whatever else they get in this turn, and to further ones at once: what waits takes a
 * buffer for each peer (row `watch.push.1000`).
 */
const gatheredPeers = 8;

/** What they need of the registrar. */
export interface WatchHost {
  readonly id: ActorId;
  readonly table: RegistryTable;
  /** Called for each message that is pushed. */
  onPush(): void;
  /** A watch is over, though the peer hasn't given it back. */
  onOver(watch: PeerWatch): void;
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

  /**
   * Answers the request of a watch with the whole state.
   *
   * @throws {LimitError} when it is too large for a frame
   */
  answer(watch: PeerWatch): void {
    // not `session.reply`: the caller has to know when it doesn't fit
    this.session.peer.channel.sendControl([Kind.result, watch.id, this.#state(watch)], true);
  }

  push(watch: PeerWatch, change: TableChange, form: unknown[]): void {
    const { channel } = this.session.peer;
    if (this.#behind.has(watch)) return;
    if (channel.link.pendingBytes > maxUnsentBytes) {
      this.#behind.add(watch);
      if (this.#behind.size === 1) void this.#catchUp();
      return;
    }
    this.#host.onPush();
    channel.post([Kind.change, watch.id, ChangeType[change.type], change.stored.name, form]);
    if (++change.sent > gatheredPeers) channel.flush();
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
    const [revision, list] = this.#state(watch);
    this.#host.onPush();
    try {
      channel.sendControl([Kind.resync, watch.id, revision, list], true);
    } catch (error) {
      this.remove(watch.id);
      this.#host.onOver(watch);
      channel.post([Kind.resync, watch.id, revision, [], encodeFailure(error, this.#host.id)]);
    }
  }

  #state({ pattern }: PeerWatch): [revision: number, list: unknown[]] {
    const { table } = this.#host;
    const list = Array.from(matching(table, pattern), (stored) => [stored.name, encodeDetailed(stored)]);
    return [table.revision, list];
  }
}

/** One watch of a peer. */
export class PeerWatch implements Watcher {
  readonly id: number;
  readonly pattern: string;
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
