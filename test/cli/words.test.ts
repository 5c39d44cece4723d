import { describe, expect, test } from "bun:test";
import { parseArgs } from "node:util";
import fc from "fast-check";

import { UsageError } from "../../src/cli/exit.ts";
import { parseWords } from "../../src/cli/words.ts";

const options = {
  sort: { type: "string" },
  watch: { type: "boolean", short: "w" },
  count: { type: "string", short: "n" },
  registry: { type: "string", multiple: true },
} as const;

/** What a parser makes of the words; undefined if it rejects them. */
function outcome(
  parse: () => { readonly values: object; readonly positionals: readonly string[] },
): object | undefined {
  try {
    const { values, positionals } = parse();
    return { values: { ...values }, positionals };
  } catch {
    return undefined;
  }
}

describe("parseWords", () => {
  test("takes and rejects what util.parseArgs does, with the same result", () => {
    const word = fc.constantFrom(
      ...["--sort", "--sort=", "--sort=-x", "--watch", "--watch=1", "--count", "--registry", "--registry=b"],
      ...["-w", "-n", "-n5", "-wn", "-wn5", "-ww", "-w=1", "-n=5", "-x", "--nope", "--", "-", "a", "5", ""],
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), (words) => {
        const theirs = outcome(() => parseArgs({ args: words, options, allowPositionals: true }));
        expect(outcome(() => parseWords(words, options, "furrow ls"))).toEqual(theirs);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    [["--nope"], "furrow ls has no option --nope: see furrow ls --help"],
    [["-wx"], "furrow ls has no option -x: see furrow ls --help"],
    [["-n"], "option '-n, --count <value>' argument missing: see furrow ls --help"],
    [["--watch=1"], "option '-w, --watch' does not take an argument: see furrow ls --help"],
    [["--sort", "--watch"], "option '--sort' argument is ambiguous: see furrow ls --help"],
  ])("says what is wrong with %j, and where to look", (words, message) => {
    expect(() => parseWords(words, options, "furrow ls")).toThrow(new UsageError(message));
  });
});
