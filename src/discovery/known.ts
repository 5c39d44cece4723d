/**
 * What this actor knows of a name without asking: its own table while it is the registrar, else the caches that its
 * registrars keep current. A registrar's own misses are not known here, since they may still be unreliable: ask.ts.
 */
import type { Registrars } from "./registrars.ts";
import type { Lookup } from "./lookup.ts";
import { detailedHere, type Found, foundHere, type FoundRegistration, isDetailed } from "./registration.ts";

/** The known registrations of a name: an empty list is a known miss, undefined means that a registrar must be asked. */
export function known(registrars: Registrars, name: string): Found | undefined {
  const { service } = registrars;
  if (service === undefined) return cached(registrars, name);
  const list = service.table.all(name);
  return list.length === 0 ? undefined : list.map((stored) => foundHere(stored, registrars.runtime.id.host));
}

/** The registrations of the lookup's name in the own table, in the form that it needs; undefined in all but a registrar. */
export function inOwnTable({ name, registrars, wantsDetails }: Lookup): Found | undefined {
  const { service, runtime } = registrars;
  const here = wantsDetails ? detailedHere : foundHere;
  return service?.table.all(name).map((stored) => here(stored, runtime.id.host));
}

/**
 * As `known`, in the form that the lookup needs. Where instances are known and none fits, that is a miss. With several
 * registrars, one that knows an instance that fits is enough.
 */
export function knownFor(lookup: Lookup): Found | undefined {
  const { name, registrars, selection, wantsDetails } = lookup;
  if (selection === undefined) return known(registrars, name);
  const own = inOwnTable(lookup);
  if (own !== undefined) return lookup.filter(own).length === 0 ? undefined : own;
  const { links } = registrars;
  const lists = links.map(({ cache }) => {
    const list = cache.get(name);
    return wantsDetails && list !== undefined && !isDetailed(list) ? undefined : list;
  });
  const knowing = lists.findIndex((list) => list !== undefined && selection.filter(list).length > 0);
  if (knowing >= 0) return links[knowing]?.known(name);
  if (lists.length === 0 || lists.includes(undefined) || registrars.areAnyStale) return undefined;
  links[0]?.known(name); // one hit
  return lists.flatMap((list) => list ?? []);
}

/** The last of `known`, null for a known miss. It reads one record, however many have the name. */
export function lastKnown(registrars: Registrars, name: string): FoundRegistration | null | undefined {
  const { service } = registrars;
  if (service !== undefined) {
    const stored = service.table.last(name);
    return stored && foundHere(stored, registrars.runtime.id.host);
  }
  const only = registrars.onlyLink;
  if (only !== undefined && !registrars.areAnyStale) return only.lastKnown(name);
  const list = cached(registrars, name);
  return list && (list[list.length - 1] ?? null);
}

/** Whether the own table, or any registrar's cache, has the name. Not counted as a hit: the lookup that follows is. */
export function isKnown({ service, links }: Registrars, name: string): boolean {
  return service === undefined
    ? links.some(({ cache }) => cache.has(name))
    : service.table.last(name) !== undefined;
}

/**
 * With several registrars one that knows an actor is enough, but a miss must be known of all. One hit in either case. A miss
 * isn't known while a registrar can't tell of other hosts.
 */
function cached(registrars: Registrars, name: string): Found | undefined {
  const only = registrars.onlyLink;
  if (only !== undefined) {
    const list = only.known(name);
    return list?.length === 0 && registrars.areAnyStale ? undefined : list;
  }
  const { links } = registrars;
  const knowing = links.find(({ cache }) => (cache.get(name)?.length ?? 0) > 0);
  if (knowing !== undefined) return knowing.known(name);
  if (registrars.areAnyStale) return undefined;
  return links.every(({ cache }) => cache.has(name)) ? links[0]?.known(name) : undefined;
}
