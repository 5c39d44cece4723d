import { describe, expect, test } from "bun:test";

import { ActorNameError } from "../../src/errors.ts";
import { checkActorName } from "../../src/wire/actor-name.ts";

describe("checkActorName", () => {
  test.each([
    "a",
    "quotes",
    "with space",
    "../up",
    "ünïcödé",
    "日本語",
    "@1.sock",
    "x".repeat(255),
    "€".repeat(85),
  ])("takes %p", (name) => {
    expect(() => checkActorName(name)).not.toThrow();
  });

  test.each<[name: unknown, message: string]>([
    ["", "an actor name must not be empty"],
    [undefined, "an actor name must be a string, got undefined"],
    [1, "an actor name must be a string, got number"],
    ["a\nb", 'actor name "a\\nb" has a control character'],
    ["a\0", 'actor name "a\\u0000" has a control character'],
    ["a\u0085", "has a control character"],
    ["\ud800", "is not well-formed unicode"],
    ["x".repeat(256), "actor name of 256 B exceeds 255 B"],
    ["€".repeat(86), "actor name of 258 B exceeds 255 B"],
  ])("refuses %p", (name, message) => {
    expect(() => checkActorName(name)).toThrow(ActorNameError);
    expect(() => checkActorName(name)).toThrow(message);
  });
});
