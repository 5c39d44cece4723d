/** `explainLookup`: why a lookup finds what it finds. */
import { FurrowError } from "../errors.ts";
import type { LookupReport } from "../lookup-report.ts";
import { findAll, findOne } from "./find.ts";
import { type FindOptions, Lookup } from "./lookup.ts";

/**
 * Performs the lookup of `findActor` and tells what it did: which registrars answered, which instances of the name there
 * are and where each is known from, what was dialled, what refused or was silent, why, and for how long. Ask it where
 * `findActor` gives null; where it throws, the error's `report` is the same record.
 *
 * It really connects, until one instance answers (or to all of them, with `onlyFirst: false`), and gives up at once what
 * it opened. It doesn't throw because there is no such actor, because none can be reached, or because no registrar
 * answers or `timeout` passes: the report says so. `raiseOnNone` makes no difference.
 *
 * @throws {ActorNameError | AddressError | RangeError} when an argument is malformed
 * @throws {NoRuntimeError} when this process has no actor
 */
export async function explainLookup(name: string, options: FindOptions = {}): Promise<LookupReport> {
  const lookup = new Lookup(name, options);
  const { record } = lookup;
  try {
    const found = options.onlyFirst === false ? await findAll(lookup) : await findOne(lookup);
    const report = record.report();
    await found?.[Symbol.asyncDispose]();
    return report;
  } catch (error) {
    if (!(error instanceof FurrowError) || lookup.isAbort(error)) throw error;
    return record.report();
  }
}
