/**
 * A service that is replaced by its next version while eight callers use it. The new process is started first; once it is
 * ready, the old one takes on nothing new, finishes what it has begun, and ends.
 *
 * Prints:
 *
 *     version 1 answers
 *     version 2 answers, version 1 has ended
 *     version 3 answers, version 2 has ended
 *     calls that failed: 0
 *     calls that ran without an answer, or twice: 0
 */
import { currentActor, openNursery, openService } from "furrow";

type Quotes = typeof import("./rolling-replacement.ts");

interface Quote {
  readonly version: number;
  /** Counts the quotes of this version. */
  readonly number: number;
}

let given = 0;

/** Runs in the service. */
export async function getQuote(): Promise<Quote> {
  const number = ++given;
  await Bun.sleep(1);
  return { version: currentActor().data as number, number };
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  const options = (version: number) => ({ module: import.meta.url, version: `${version}.0`, data: version });
  await nursery.startActor("quotes", options(1));
  await using service = await openService<Quotes>("quotes");

  const quotes: Quote[] = [];
  let failed = 0;
  let isOver = false;
  const caller = async (): Promise<void> => {
    while (!isOver) {
      try {
        quotes.push(await service.run.getQuote());
      } catch {
        failed++;
      }
    }
  };
  const answers = async (version: number): Promise<void> => {
    while (!quotes.some((quote) => quote.version === version)) await Bun.sleep(1);
  };
  const callers = Promise.all(Array.from({ length: 8 }, caller));

  await answers(1);
  console.log("version 1 answers");
  for (const version of [2, 3]) {
    await nursery.replaceActor("quotes", options(version));
    await answers(version);
    console.log(`version ${version} answers, version ${version - 1} has ended`);
  }
  isOver = true;
  await callers;

  console.log(`calls that failed: ${failed}`);
  let missing = 0;
  for (const version of [1, 2, 3]) {
    const numbers = quotes.filter((quote) => quote.version === version).map(({ number }) => number);
    missing += Math.max(...numbers) - numbers.length;
  }
  console.log(`calls that ran without an answer, or twice: ${missing}`);
}
