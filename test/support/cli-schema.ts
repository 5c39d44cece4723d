/** Checks what `--json` prints against the schema in the docs. */
import { expect } from "bun:test";
import { z } from "zod";

import schema from "../../docs/cli.schema.json";

/** Only the fields that the schema has: the schema itself lets documents have more, so that some can be added. */
function strict(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(strict);
  if (typeof part !== "object" || part === null) return part;
  const inner = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, strict(value)]));
  return "properties" in inner && !("additionalProperties" in inner)
    ? { ...inner, additionalProperties: false }
    : inner;
}

const definitions = strict(schema.$defs);
const validators = new Map<string, z.ZodType>();

export type SchemaName = keyof typeof schema.$defs;

/** Fails unless the text is a document, or a line, of that definition. Returns it. */
export function expectSchema(definition: SchemaName, text: string): unknown {
  let validator = validators.get(definition);
  if (validator === undefined) {
    const whole = { $schema: schema.$schema, $ref: `#/$defs/${definition}`, $defs: definitions };
    validator = z.fromJSONSchema(whole as Parameters<typeof z.fromJSONSchema>[0]);
    validators.set(definition, validator);
  }
  const value: unknown = JSON.parse(text);
  const { error } = validator.safeParse(value);
  expect(error === undefined ? "" : z.prettifyError(error)).toBe("");
  return value;
}
