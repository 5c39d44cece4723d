/** What a lookup asks of each registrar, and how its report shows that. */
import { asError, TimeoutError } from "../errors.ts";
import type { ReportedCandidate, ReportedRegistrar } from "../lookup-report.ts";
import type { Address } from "../transport/address.ts";
import { RegistrarLink } from "./registrar-link.ts";
import type { Registrars } from "./registrars.ts";
import type { Found } from "./registration.ts";

/** One registrar that is asked, by its link or at an address. Only the first outcome counts. */
export class Question {
  readonly #registrar: RegistrarLink | Address;
  readonly #since: number;
  /** Undefined while there is none. */
  #outcome: ReportedRegistrar["outcome"] | undefined;
  #reason: string | undefined;
  #ms = 0;
  found: Found = [];
  source: ReportedCandidate["source"] = "registrar";

  constructor(registrar: RegistrarLink | Address, since: number) {
    this.#registrar = registrar;
    this.#since = since;
  }

  /** `source`: how the registrar's answer was known. */
  answered(found: Found, source: "registrar" | "cache" | "table" = "registrar"): void {
    if (this.#outcome !== undefined) return;
    this.found = found;
    this.source = source;
    this.end(source === "cache" ? "cached" : "answered", undefined);
  }

  failed(thrown: unknown): void {
    this.end(isSilence(thrown) ? "silent" : "refused", asError(thrown).message);
  }

  end(outcome: ReportedRegistrar["outcome"], reason: string | undefined): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#reason = reason;
    this.#ms = performance.now() - this.#since;
  }

  /** As it is now. */
  report(now: number): ReportedRegistrar {
    const addr = this.#registrar instanceof RegistrarLink ? addrOf(this.#registrar) : this.#registrar;
    const outcome = this.#outcome ?? "silent";
    const reason = this.#outcome === undefined ? "no answer until the lookup was over" : this.#reason;
    const ms = this.#outcome === undefined ? now - this.#since : this.#ms;
    return { addr, outcome, ...(reason !== undefined && { reason }), ms: rounded(ms) };
  }
}

/** What it takes to say whom a lookup could have asked. */
interface Asker {
  readonly name: string;
  readonly registrars: Registrars;
  readonly registryAddrs: readonly Address[] | undefined;
}

/**
 * All registrars that had a say, once each, and the addresses of this actor's registry where there is none; in the order
 * of the addresses.
 */
export function reportRegistrars(
  questions: readonly Question[],
  asker: Asker,
  since: number,
  now: number,
): ReportedRegistrar[] {
  const byAddr = new Map<string, ReportedRegistrar>();
  for (const question of questions) {
    const report = question.report(now);
    // the last question counts, since one that failed is asked again; but not what an answer left in the cache
    const isOld = report.outcome === "cached" && byAddr.get(report.addr)?.outcome === "answered";
    if (!isOld) byAddr.set(report.addr, report);
  }
  if (asker.registryAddrs === undefined) {
    // without any registrar the lookup has waited for one all the time
    const ms = questions.length > 0 || asker.registrars.hasLinks ? 0 : rounded(now - since);
    for (const one of [...unasked(asker), ...absentOnes(asker.registrars, ms)])
      if (!byAddr.has(one.addr)) byAddr.set(one.addr, one);
  }
  const order: readonly string[] = asker.registryAddrs ?? asker.registrars.registryAddrs;
  return Array.from(byAddr.values()).toSorted((a, b) => placeOf(a.addr, order) - placeOf(b.addr, order));
}

function placeOf(addr: string, order: readonly string[]): number {
  const at = order.indexOf(addr);
  return at < 0 ? order.length : at;
}

/** The registrars that need no question: this actor itself, and those that it is connected to. */
function unasked({ name, registrars }: Asker): ReportedRegistrar[] {
  if (registrars.isRegistrar) return [{ addr: registrars.ownAddr, outcome: "answered", ms: 0 }];
  return registrars.links.map((link) => {
    const addr = addrOf(link);
    if (link.cache.has(name)) return { addr, outcome: "cached", ms: 0 };
    // another's cached answer was enough, or it was connected only after the others had been asked
    return { addr, outcome: "skipped", reason: "not asked", ms: 0 };
  });
}

function absentOnes(registrars: Registrars, ms: number): ReportedRegistrar[] {
  return registrars.vacant().map((addr) => {
    const fault = registrars.faultAt(addr);
    const reason = fault?.message ?? "no registrar has been found there yet";
    return { addr, outcome: isSilence(fault) ? "silent" : "refused", reason, ms };
  });
}

/** The address that the link's connection uses, if it is one of the registry's. */
function addrOf({ addrs, session }: RegistrarLink): Address {
  const { addr } = session.peer;
  return addrs.has(addr) ? addr : (Array.from(addrs)[0] ?? addr);
}

/** Whether an error comes down to a missing answer. */
function isSilence(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause)
    if (error instanceof TimeoutError) return true;
  return false;
}

/** To microseconds. */
export function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
