/**
 * The shared buffers that cross one connection. Each stays with its giver, and the peer maps it when it first arrives; from
 * then on a few numbers stand for it. Loaded by the first of them.
 *
 * The giver numbers the times that it sends a buffer. Once the peer holds it no more, it says so with the last number that it
 * has seen: if none is on its way, the collector may have the buffer here too. A buffer that is disposed is open until the
 * peer has confirmed it, so it can't disappear before it arrives.
 */
import { asError, EncodeError, FrameError, LimitError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import { closeMemfd, mapMemfd, mayMapMemfds, type Memfd, openMemfd } from "../transport/memfd.ts";
import type { LinkPeer } from "../transport/transport.ts";
import { Kind, type Message, type MessageOf } from "../wire/messages.ts";
import { type Backing, backingOf, SharedBuffer, type Sharing } from "../wire/shared-buffer.ts";
import { checkRoom, countedBytes, OwnMemory, type Taker } from "./own-memory.ts";

const log = logger("channel");

/** What it needs from its channel. */
export interface SharingChannel {
  readonly isOpen: boolean;
  /** The peer, for messages. */
  readonly label: string;
  readonly link: { readonly peer: LinkPeer | undefined };
  post(message: Message): void;
}

/** A buffer that the peer was given. */
interface Given {
  readonly memory: OwnMemory;
  /** Set while the peer may hold it: then it may come back. */
  buffer: SharedBuffer | undefined;
  times: number;
}

/** A buffer of the peer that is mapped here. */
class Taken implements Backing {
  readonly id: number;
  readonly memfd: Memfd;
  readonly bytes: Uint8Array;
  /** What the users here hold, one object for all of them. */
  #buffer: WeakRef<SharedBuffer> | undefined;
  /** The last number that the peer gave it. */
  times = 0;
  /** What other peers are given, once it is passed on. */
  passedOn: OwnMemory | undefined;
  /** Undefined once the peer has disposed it or is gone, or this side has given it up. */
  sharing: PeerSharing | undefined;

  constructor(id: number, memfd: Memfd, bytes: Uint8Array, sharing: PeerSharing) {
    this.id = id;
    this.memfd = memfd;
    this.bytes = bytes;
    this.sharing = sharing;
  }

  get isShared(): boolean {
    return this.sharing !== undefined;
  }

  get buffer(): SharedBuffer | undefined {
    return this.#buffer?.deref();
  }

  hold(): SharedBuffer {
    const { buffer } = this;
    if (buffer !== undefined) return buffer;
    const made = new SharedBuffer(this.memfd.byteLength, this);
    this.#buffer = new WeakRef(made);
    unheld.register(made, this);
    return made;
  }

  release(): void {
    this.sharing?.giveUp(this);
  }
}

/** Reports buffers that no user holds any more. */
const unheld = new FinalizationRegistry<Taken>((taken) => {
  // it may have arrived again meanwhile
  if (taken.buffer === undefined) taken.sharing?.confirm(taken);
});

export class PeerSharing implements Sharing, Taker {
  readonly #channel: SharingChannel;
  readonly #maxSharedBytes: number;
  readonly #given = new Map<number, Given>();
  readonly #taken = new Map<number, Taken>();
  #takenBytes = 0;
  /** Whether the two processes can map each other's memory; undefined until it matters. */
  #canShare: boolean | undefined;

  constructor(channel: SharingChannel, { maxSharedBytes }: Limits) {
    this.#channel = channel;
    this.#maxSharedBytes = maxSharedBytes;
  }

  give(buffer: SharedBuffer): readonly number[] | undefined {
    const backing = backingOf(buffer);
    // it goes back to where it came from
    if (backing instanceof Taken && backing.sharing === this) return [backing.id];
    this.#canShare ??= this.#peerPid !== undefined && mayMapMemfds(this.#peerPid);
    if (!this.#canShare || !this.#channel.isOpen) return undefined;
    const memory = backing instanceof Taken ? backing.sharing?.passOn(backing) : backing;
    if (!(memory instanceof OwnMemory) || memory.memfd === undefined) return undefined;
    const given = this.#givenOf(memory);
    given.buffer = buffer;
    // if the message isn't sent after all, the next one makes up for its number, or the end
    const { fd, byteLength, device, inode } = memory.memfd;
    return [memory.id, fd, byteLength, device, inode, ++given.times];
  }

  /** The memory of a buffer of this peer, to be given to another; undefined if it can't be opened. */
  passOn(taken: Taken): OwnMemory | undefined {
    const { memfd, bytes } = taken;
    try {
      if (taken.passedOn === undefined) {
        checkRoom(memfd.byteLength, this.#maxSharedBytes);
        taken.passedOn = new OwnMemory(bytes, openMemfd(this.#peerPid!, memfd));
      }
      return taken.passedOn;
    } catch (error) {
      log.debug?.(`${this.#channel.label}: its shared buffer is copied: ${asError(error).message}`);
      return undefined;
    }
  }

  #givenOf(memory: OwnMemory): Given {
    let given = this.#given.get(memory.id);
    if (given === undefined) {
      given = { memory, buffer: undefined, times: 0 };
      this.#given.set(memory.id, given);
      memory.join(this);
    }
    return given;
  }

  take(numbers: readonly unknown[]): SharedBuffer {
    if (!numbers.every(isNatural)) throw new FrameError("a shared buffer that is malformed");
    if (numbers.length === 1) return this.#takeBack(numbers[0]!);
    const [id, fd, byteLength, device, inode, times] = numbers;
    if (times === undefined) throw new FrameError("a shared buffer that is malformed");
    return this.#takeFrom(id!, { fd: fd!, byteLength: byteLength!, device: device!, inode: inode! }, times);
  }

  #takeBack(id: number): SharedBuffer {
    const buffer = this.#given.get(id)?.buffer;
    if (buffer === undefined)
      throw new FrameError(`peer returned shared buffer ${id}, which it doesn't hold`);
    return buffer;
  }

  #takeFrom(id: number, memfd: Memfd, times: number): SharedBuffer {
    let taken = this.#taken.get(id);
    if (taken === undefined) {
      const found = this.#map(memfd);
      if (found instanceof Error) {
        this.#channel.post([Kind.released, id, times]);
        return unusable(memfd.byteLength, found);
      }
      taken = new Taken(id, memfd, found, this);
      this.#taken.set(id, taken);
      this.#takenBytes += countedBytes(memfd.byteLength);
    } else if (!isSame(taken.memfd, memfd)) {
      throw new FrameError(`shared buffer ${id} isn't the same as before`);
    }
    taken.times = times;
    return taken.hold();
  }

  /** Maps it, or returns why this process can't. @throws {FrameError} when it isn't what the peer says */
  #map(memfd: Memfd): Uint8Array | Error {
    const pid = this.#peerPid;
    const from = `shared buffer of ${memfd.byteLength} B from ${this.#channel.label}`;
    if (pid === undefined) throw new FrameError(`${from} over a connection that can't share memory`);
    const after = this.#takenBytes + countedBytes(memfd.byteLength);
    if (after > this.#maxSharedBytes) {
      return new LimitError(
        `${from}: those of this peer would take ${after} B here, maxSharedBytes is ${this.#maxSharedBytes}: dispose those that aren't used any more, or raise it`,
      );
    }
    let own: Memfd | undefined;
    try {
      own = openMemfd(pid, memfd);
      return mapMemfd(own);
    } catch (error) {
      if (error instanceof FrameError) throw error;
      return new EncodeError(`${from} can't be mapped here: ${asError(error).message}`, { cause: error });
    } finally {
      if (own !== undefined) closeMemfd(own);
    }
  }

  /** The process at the other end, if the kernel says which one it is. */
  get #peerPid(): number | undefined {
    const { peer } = this.#channel.link;
    return peer?.kind === "unix" && peer.pid !== 0 ? peer.pid : undefined;
  }

  withdraw({ id }: OwnMemory): void {
    const given = this.#given.get(id);
    if (given !== undefined) this.#channel.post([Kind.unshare, id, given.times]);
  }

  /** The peer has disposed a buffer. */
  onUnshare([, id, times]: MessageOf<typeof Kind.unshare>): void {
    const taken = this.#taken.get(id);
    if (taken !== undefined) this.#forget(taken);
    this.#channel.post([Kind.released, id, times]);
  }

  /** The peer holds a buffer of this process no more. */
  onReleased([, id, times]: MessageOf<typeof Kind.released>): void {
    const given = this.#given.get(id);
    // it may have been sent again since
    if (given === undefined || given.times !== times) return;
    given.buffer = undefined;
    if (!given.memory.isReleased) return;
    this.#given.delete(id);
    given.memory.leave(this);
  }

  /** No user of this process holds the buffer; it stays mapped for the next time. */
  confirm({ id, times }: Taken): void {
    this.#channel.post([Kind.released, id, times]);
  }

  /** This process has disposed the buffer. */
  giveUp(taken: Taken): void {
    this.#forget(taken);
    this.confirm(taken);
  }

  #forget(taken: Taken): void {
    this.#taken.delete(taken.id);
    this.#takenBytes -= countedBytes(taken.memfd.byteLength);
    taken.sharing = undefined;
    taken.passedOn?.release();
  }

  /** The connection has ended: nothing is shared over it any more. Views stay. */
  end(): void {
    for (const taken of this.#taken.values()) this.#forget(taken);
    const given = Array.from(this.#given.values());
    this.#given.clear();
    for (const { memory } of given) memory.leave(this);
  }
}

function isNatural(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function isSame(one: Memfd, other: Memfd): boolean {
  return (
    one.fd === other.fd &&
    one.byteLength === other.byteLength &&
    one.device === other.device &&
    one.inode === other.inode
  );
}

/** A buffer whose bytes can't be had here. */
function unusable(byteLength: number, fault: Error): SharedBuffer {
  return new SharedBuffer(byteLength, {
    get bytes(): Uint8Array {
      throw fault;
    },
    isShared: false,
    release() {},
  });
}
