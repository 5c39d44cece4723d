import { describe, expect, test } from "bun:test";

import { checkPattern, readPattern } from "../../src/discovery/pattern.ts";
import { ActorNameError } from "../../src/index.ts";

describe("a pattern", () => {
  test.each([
    ["a name", "market", { text: "market", isPrefix: false }],
    ["the beginning of names", "market*", { text: "market", isPrefix: true }],
    ["a star alone", "*", { text: "", isPrefix: true }],
    ["a beginning that isn't ASCII", "märkte*", { text: "märkte", isPrefix: true }],
    ["a beginning as long as a name", `${"x".repeat(255)}*`, { text: "x".repeat(255), isPrefix: true }],
  ])("may be %s", (_, pattern, read) => {
    expect(() => checkPattern(pattern)).not.toThrow();
    expect(readPattern(pattern)).toEqual(read);
  });

  test.each<[string, unknown, string]>([
    ["is empty", "", "a pattern must not be empty"],
    ["isn't text", 7, "a pattern must be a string, got number"],
    ["has its star in the middle", "mar*ket", 'pattern "mar*ket" has a star before its end'],
    ["begins with a star", "*market", 'pattern "*market" has a star before its end'],
    ["has two stars", "market**", 'pattern "market**" has a star before its end'],
    ["has a control character", "a\tb*", 'actor name "a\\tb" has a control character'],
    ["ends in half a character", "a\ud83d*", 'actor name "a\\ud83d" is not well-formed unicode'],
    ["is too long", `${"x".repeat(256)}*`, "actor name of 256 B exceeds 255 B"],
  ])("that %s is refused, with a message that says how patterns look", (_, pattern, message) => {
    expect(() => checkPattern(pattern)).toThrow(ActorNameError);
    expect(() => checkPattern(pattern)).toThrow(message);
    expect(() => checkPattern(pattern)).toThrow(
      'a pattern is a name ("market"), or the beginning of names and a star ("market*", or "*" for all)',
    );
  });
});
