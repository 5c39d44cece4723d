/**
 * A map by uuid that may hold very many, split into smaller ones. A `Map` grows all at once, and the event loop waits: 9 ms when
 * it has 65,536 entries (row `cluster.mirror.100000`).
 */

const partCount = 32;

export class SplitMap<T> {
  readonly #parts: readonly Map<string, T>[] = Array.from({ length: partCount }, () => new Map<string, T>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(uuid: string): boolean {
    return this.#part(uuid).has(uuid);
  }

  get(uuid: string): T | undefined {
    return this.#part(uuid).get(uuid);
  }

  set(uuid: string, value: T): void {
    const part = this.#part(uuid);
    const before = part.size;
    part.set(uuid, value);
    this.#size += part.size - before;
  }

  delete(uuid: string): void {
    if (this.#part(uuid).delete(uuid)) this.#size--;
  }

  /** By the last two digits, which are random; a string that is too short for a uuid has NaN there, and NaN & 31 is 0. */
  #part(uuid: string): Map<string, T> {
    const last = uuid.length - 1;
    return this.#parts[(uuid.charCodeAt(last - 1) * 7 + uuid.charCodeAt(last)) & (partCount - 1)]!;
  }
}
