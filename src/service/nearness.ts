/** How far away instances are: on this host, in the same zone (`metadata.zone`), or anywhere. Pure. */
import type { Registration } from "../discovery/registration.ts";

/** Where calls come from. */
export interface Here {
  readonly host: string;
  /** Undefined: in no zone. */
  readonly zone: unknown;
}

/** Those of them that are nearest, in the same order. */
export function nearest<T extends { readonly registration: Registration }>(
  all: readonly T[],
  here: Here,
): readonly T[] {
  const distances = all.map(({ registration }) => distanceOf(registration, here));
  const least = Math.min(...distances);
  return distances.every((distance) => distance === least)
    ? all
    : all.filter((_, at) => distances[at] === least);
}

function distanceOf({ id, metadata }: Registration, { host, zone }: Here): number {
  if (id.host === host) return 0;
  return zone !== undefined && metadata["zone"] === zone ? 1 : 2;
}
