/**
 * Rendezvous hashing: for each key every instance has a weight, and the one with the highest gets it. So an instance that
 * comes takes only its own share from the others, one that goes leaves only its own share to them, and all processes
 * agree without a word. Pure. After Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998).
 */
import { placeOf } from "../identity.ts";

/** What has weights. */
export interface Weighed {
  readonly uuid: string;
  /** See `seedOf`. */
  readonly seed: number;
}

/** What the weights of an actor come from: its place, which a restart by its nursery leaves as it is. */
export function seedOf(uuid: string): number {
  return Bun.hash.xxHash32(placeOf(uuid));
}

/** The one that has the key; undefined when there is none. */
export function ownerOf<T extends Weighed>(key: string, among: readonly T[]): T | undefined {
  const hash = Bun.hash.xxHash32(key);
  let owner: T | undefined;
  let highest = -1;
  for (const one of among) {
    const weight = mixed(hash ^ one.seed);
    const isHigher = weight > highest || (weight === highest && owner !== undefined && one.uuid > owner.uuid);
    if (!isHigher) continue;
    owner = one;
    highest = weight;
  }
  return owner;
}

/** Spreads the bits: inputs that differ in a few have unrelated outputs. The finalizer of MurmurHash3. */
function mixed(bits: number): number {
  let hash = bits;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
