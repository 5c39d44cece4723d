/** Asks registrars for a name: this actor's own, or those at the addresses that the caller names. */
import { Deadline } from "../deadline.ts";
import {
  asError,
  causeOf,
  LimitError,
  messagesOf,
  RegistryUnavailableError,
  TimeoutError,
} from "../errors.ts";
import type { Address } from "../transport/address.ts";
import { inOwnTable } from "./known.ts";
import type { Lookup } from "./lookup.ts";
import type { LookupRecord } from "./lookup-record.ts";
import type { Question } from "./question.ts";
import { askOnce, RegistrarLink, registryPatienceMs } from "./registrar-link.ts";
import type { Found } from "./registration.ts";
import { connectedLinks, registrarAt } from "./registry.ts";

/** Asks until one registrar has an actor of the name, and one that is wanted if the lookup selects. */
export function askAny(lookup: Lookup): Promise<Found> {
  return ask(lookup, (found) => lookup.filter(found).length > 0);
}

/** Asks until every registrar has answered. */
export function askAll(lookup: Lookup): Promise<Found> {
  return ask(lookup, () => false);
}

/** Asks the registrars side by side. One answer that is `enough` ends it early. */
async function ask(lookup: Lookup, enough: (found: Found) => boolean): Promise<Found> {
  const { record, registrars, registryAddrs } = lookup;
  const deadline = patience(lookup);
  if (registryAddrs !== undefined) {
    const inquiries = registryAddrs.map((addr) => askAddress(lookup, addr, deadline));
    return await combine(inquiries, deadline, enough, record);
  }
  for (;;) {
    const links = await connectedLinks(registrars, deadline);
    if (links.length === 0) {
      const question = record.ask(registrars.ownAddr);
      const found = await askOwnTable(lookup);
      if (found === undefined) continue;
      question.answered(found, "table");
      return found;
    }
    try {
      const inquiries = links.map((link) => askLink(lookup, link));
      const [only] = inquiries;
      if (inquiries.length > 1 || only === undefined)
        return await combine(inquiries, deadline, enough, record);
      const found = await deadline.race("lookup", only.answer);
      only.question.answered(found);
      return found;
    } catch (error) {
      record.failed(error);
      // if the registrars ended during the request, the next one is asked, within the deadline
      if (links.some((link) => link.isOpen) || error instanceof TimeoutError) throw error;
      deadline.check("lookup");
    }
  }
}

/** A question under way. */
interface Inquiry {
  readonly question: Question;
  readonly answer: Promise<Found>;
}

function askLink(lookup: Lookup, link: RegistrarLink): Inquiry {
  const question = lookup.record.ask(link);
  return { question, answer: answerOf(link, lookup, question) };
}

function askAddress(lookup: Lookup, addr: Address, deadline: Deadline): Inquiry {
  const question = lookup.record.ask(addr);
  return { question, answer: answerAt(addr, lookup, deadline, question) };
}

/** Asks a linked registrar, or the cache that it keeps current. */
function answerOf(
  link: RegistrarLink,
  { name, wantsDetails, wantsAll }: Lookup,
  question: Question,
): Promise<Found> {
  // an answer with details always has all
  const found = wantsDetails
    ? link.lookupDetailed(name)
    : wantsAll
      ? link.lookupAll(name)
      : link.lookup(name);
  if (found instanceof Promise) return found;
  question.answered(found, "cache");
  return Promise.resolve(found);
}

/** The lookup's deadline, but no later than the default patience with a silent registry. */
export function patience({ name, runtime, deadline }: Lookup): Deadline {
  const timeout = Math.min(deadline.remainingMs, registryPatienceMs(runtime.limits));
  return new Deadline({ timeout, signal: deadline.signal }, "lookup of", name);
}

/**
 * The own table's answer, once a miss is reliable: a registrar that has just taken over may still be waiting for actors to
 * come back. Undefined when this actor isn't the registrar after all, because another was faster at binding the addresses.
 */
async function askOwnTable(lookup: Lookup): Promise<Found | undefined> {
  const { name, registrars, deadline, wantsAll } = lookup;
  const found = inOwnTable(lookup);
  if (!wantsAll && found !== undefined && lookup.filter(found).length > 0) return found;
  const awaited = registrars.service?.awaited(wantsAll || lookup.wantsDetails ? undefined : name);
  if (awaited !== undefined) await deadline.race("lookup", awaited);
  return inOwnTable(lookup);
}

async function answerAt(
  addr: Address,
  lookup: Lookup,
  deadline: Deadline,
  question: Question,
): Promise<Found> {
  const { name, registrars, wantsDetails, wantsAll } = lookup;
  const registrar = await registrarAt(registrars, addr, deadline);
  if (registrar === "self") {
    const found = await askOwnTable(lookup);
    if (found === undefined) throw new RegistryUnavailableError("this actor is no longer the registrar");
    question.answered(found, "table");
    return found;
  }
  if (registrar instanceof RegistrarLink) return await answerOf(registrar, lookup, question);
  try {
    return await askOnce(registrar.handler, name, registrars.counters, wantsDetails, wantsAll);
  } finally {
    registrar.release();
  }
}

/**
 * Combines the answers of several registrars. Those that are down or silent are noted as failures; it fails only when
 * all of them are.
 *
 * @throws {RegistryUnavailableError} when none answered; `cause` says why for each
 * @throws {TimeoutError} when the only one asked is silent
 * @throws {LimitError} when the answer of the only one asked is too large
 */
async function combine(
  inquiries: readonly Inquiry[],
  deadline: Deadline,
  enough: (found: Found) => boolean,
  record: LookupRecord,
): Promise<Found> {
  const answers: Found[] = [];
  const failures: Error[] = [];
  const early = Promise.withResolvers<void>();
  const all = Promise.all(
    inquiries.map(async ({ question, answer }) => {
      try {
        const found = await answer;
        question.answered(found);
        answers.push(found);
        if (enough(found)) early.resolve();
      } catch (error) {
        question.failed(error);
        failures.push(asError(error));
      }
    }),
  );
  try {
    await deadline.race("lookup", Promise.race([all, early.promise]));
    record.overtaken();
  } catch (error) {
    record.failed(error);
    if (!(error instanceof TimeoutError) || inquiries.length === 1) throw error;
    failures.push(error);
  }
  if (answers.length > 0) {
    record.failures.push(...failures);
    return answers.find(enough) ?? answers.flat();
  }
  const [only] = failures;
  if (inquiries.length === 1) {
    // the error of the only one says more than "no registrar answered"
    if (
      only instanceof TimeoutError ||
      only instanceof RegistryUnavailableError ||
      only instanceof LimitError
    )
      throw only;
  }
  throw new RegistryUnavailableError(`no registrar answered: ${messagesOf(failures)}`, {
    cause: causeOf(failures),
  });
}
