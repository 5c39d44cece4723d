/**
 * Who is interested in which names: peers, to which every change of such a name is pushed, and watchers in this process,
 * each called once at the next change. Pure: no sockets, no clock.
 */

export class Interests<Peer, Change> {
  readonly #maxNames: number;
  readonly #deliver: (peer: Peer, change: Change) => void;
  /** By name. Most names interest one peer, which then stands for the set. `Peer` must not be a set itself. */
  readonly #interested = new Map<string, Peer | Set<Peer>>();
  /** Those that want the details with each change, by name; they are in no other set. */
  readonly #detailed = new Map<string, Set<Peer>>();
  readonly #names = new Map<Peer, Set<string>>();
  readonly #watchers = new Map<string, Set<() => void>>();

  /** `maxNames` bounds the interests of one peer, so that no peer can fill the memory. `deliver` pushes a change to a peer. */
  constructor(maxNames: number, deliver: (peer: Peer, change: Change) => void) {
    this.#maxNames = maxNames;
    this.#deliver = deliver;
  }

  /** The peers that have taken an interest and haven't left. */
  get peers(): Iterable<Peer> {
    return this.#names.keys();
  }

  has(peer: Peer, name: string): boolean {
    return this.#names.get(peer)?.has(name) === true;
  }

  /** How many peers are interested in the name. */
  count(name: string): number {
    const interested = this.#interested.get(name);
    const brief = interested instanceof Set ? interested.size : interested === undefined ? 0 : 1;
    return brief + (this.#detailed.get(name)?.size ?? 0);
  }

  /**
   * From now on pushes changes of the name to the peer, in their detailed form once that was asked for. False when it has
   * `maxNames` other interests already.
   */
  take(peer: Peer, name: string, isDetailed = false): boolean {
    let names = this.#names.get(peer);
    if (names === undefined) this.#names.set(peer, (names = new Set()));
    if (names.size >= this.#maxNames && !names.has(name)) return false;
    names.add(name);
    if (isDetailed) {
      this.#remove(peer, name);
      const detailed = this.#detailed.get(name);
      if (detailed === undefined) this.#detailed.set(name, new Set([peer]));
      else detailed.add(peer);
      return true;
    }
    if (this.#detailed.size > 0 && this.#detailed.get(name)?.has(peer) === true) return true;
    const interested = this.#interested.get(name);
    if (interested === undefined) this.#interested.set(name, peer);
    else if (interested instanceof Set) interested.add(peer);
    else if (interested !== peer) this.#interested.set(name, new Set([interested, peer]));
    return true;
  }

  /** Ends a peer's interest in a name. */
  drop(peer: Peer, name: string): void {
    if (this.#names.get(peer)?.delete(name)) this.#remove(peer, name);
  }

  /** Ends all interests of a peer that is gone. */
  leave(peer: Peer): void {
    for (const name of this.#names.get(peer) ?? []) this.#remove(peer, name);
    this.#names.delete(peer);
  }

  /**
   * Pushes a change of the name to all that are interested, then wakes its watchers. Mostly there are none: `change` and
   * `detailed` are made only if needed. Without `change` it concerns the details alone.
   */
  push(
    name: string,
    change: (() => Change) | undefined,
    detailed: (() => Change) | undefined = change,
  ): void {
    const interested = change && this.#interested.get(name);
    if (interested !== undefined) {
      const made = change!();
      if (interested instanceof Set) for (const peer of interested) this.#deliver(peer, made);
      else this.#deliver(interested, made);
    }
    const thorough = this.#detailed.size > 0 ? this.#detailed.get(name) : undefined;
    if (thorough !== undefined && detailed !== undefined) {
      const made = detailed();
      for (const peer of thorough) this.#deliver(peer, made);
    }
    this.#wake(name);
  }

  /** Calls `onChange` once, at the next change of the name; returns the function that calls it off. */
  watch(name: string, onChange: () => void): () => void {
    let watchers = this.#watchers.get(name);
    if (watchers === undefined) this.#watchers.set(name, (watchers = new Set()));
    watchers.add(onChange);
    return () => {
      watchers.delete(onChange);
      if (watchers.size === 0 && this.#watchers.get(name) === watchers) this.#watchers.delete(name);
    };
  }

  /** Wakes every watcher, though nothing has changed: there will be no more changes. */
  wakeAll(): void {
    for (const name of Array.from(this.#watchers.keys())) this.#wake(name);
  }

  #remove(peer: Peer, name: string): void {
    const interested = this.#interested.get(name);
    if (interested instanceof Set) interested.delete(peer);
    if (interested === peer || (interested instanceof Set && interested.size === 0))
      this.#interested.delete(name);
    const detailed = this.#detailed.size > 0 ? this.#detailed.get(name) : undefined;
    if (detailed?.delete(peer) === true && detailed.size === 0) this.#detailed.delete(name);
  }

  #wake(name: string): void {
    const watchers = this.#watchers.get(name);
    if (watchers === undefined) return;
    this.#watchers.delete(name);
    for (const watcher of watchers) watcher();
  }
}
