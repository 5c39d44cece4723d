/** Optional runtime checks, by any validator that implements Standard Schema (zod, valibot, arktype, ...). */
import { EncodeError } from "../../errors.ts";

/** The part of Standard Schema (https://standardschema.dev, version 1) that furrow uses. */
export interface Schema {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Verdict | Promise<Verdict>;
  };
}

type Verdict =
  | { readonly value: unknown; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly PathStep[] | undefined;
      }[];
    };
type PathStep = PropertyKey | { readonly key: PropertyKey };

/** A schema for each kind of value; values without one aren't checked. `args` is for the array of arguments. */
export interface Schemas {
  readonly args?: Schema;
  readonly result?: Schema;
  readonly started?: Schema;
  /** The callee's messages, and the values that a generator yields. */
  readonly send?: Schema;
  /** The caller's messages. */
  readonly receive?: Schema;
}

const known = new WeakMap<object, Schemas>();

/**
 * Checks the values sent to and from an exported function against schemas, and replaces each with the schema's output.
 *
 * If a value doesn't match, the side that sent it gets an `EncodeError` that names the function, the path and the
 * value's type: on the caller's side the call or dialog fails with it, on the callee's side `send` or `return`.
 *
 * @returns `fn` itself, to be exported
 * @throws {TypeError} immediately, when a key is unknown or a value isn't a Standard Schema: nothing would be checked
 */
export function validated<F extends (...args: never[]) => unknown>(schemas: Schemas, fn: F): F {
  if (typeof fn !== "function") throw new TypeError(`validated: expected a function, got ${typeName(fn)}`);
  checkSchemas(schemas);
  known.set(fn, schemas);
  return fn;
}

const keys: readonly (keyof Schemas)[] = ["args", "result", "started", "send", "receive"];

function checkSchemas(schemas: unknown): void {
  if (typeof schemas !== "object" || schemas === null) {
    throw new TypeError(`validated: expected an object of schemas, got ${typeName(schemas)}`);
  }
  for (const [key, schema] of Object.entries(schemas)) {
    if (!keys.includes(key as keyof Schemas)) {
      throw new TypeError(`validated: unknown key "${key}" (known: ${keys.join(", ")})`);
    }
    if (schema !== undefined && !isSchema(schema)) {
      throw new TypeError(
        `validated: ${key}: expected a Standard Schema (version 1), got ${typeName(schema)}`,
      );
    }
  }
}

/** Accepts functions too: in some validators schemas are functions. */
function isSchema(value: unknown): value is Schema {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard: unknown = (value as Partial<Schema>)["~standard"];
  if (typeof standard !== "object" || standard === null) return false;
  const { version, validate } = standard as { version?: unknown; validate?: unknown };
  return version === 1 && typeof validate === "function";
}

/** The schemas of a function, if it has any. */
export function schemasOf(fn: object): Schemas | undefined {
  return known.get(fn);
}

/**
 * The schema's output for a value; the value itself without a schema.
 *
 * @throws {EncodeError} when the value doesn't match
 */
export async function check(schema: Schema | undefined, value: unknown, what: string): Promise<unknown> {
  if (schema === undefined) return value;
  const verdict = await schema["~standard"].validate(value);
  if (verdict.issues === undefined) return verdict.value;
  const issues = verdict.issues.map(({ message, path = [] }) => {
    const keys = path.map((step) => (typeof step === "object" ? step.key : step));
    const steps = keys.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
    return `${what}${steps} is ${typeName(at(value, keys))}: ${message}`;
  });
  throw new EncodeError(issues.join("; "));
}

/** The schema's output for the arguments of a call. @throws {EncodeError} when they don't match */
export async function checkArguments(
  schemas: Schemas | undefined,
  name: string,
  args: unknown[],
): Promise<unknown[]> {
  if (schemas?.args === undefined) return args;
  const checked = await check(schemas.args, args, `arguments of ${name}`);
  return Array.isArray(checked) ? (checked as unknown[]) : args;
}

/** Calls `fn` with checked arguments and checks its result. A cancel during the first check prevents the call. */
export async function checkedCall(
  fn: (...args: unknown[]) => unknown,
  schemas: Schemas,
  name: string,
  args: unknown[],
  task: { readonly aborted: boolean; readonly reason: unknown },
): Promise<unknown> {
  const checked = await checkArguments(schemas, name, args);
  if (task.aborted) throw task.reason;
  return await check(schemas.result, await fn(...checked), `result of ${name}`);
}

/** A function that checks values of one kind, or undefined without a schema. */
export function valueCheck(
  schema: Schema | undefined,
  what: string,
): ((value: unknown) => Promise<unknown>) | undefined {
  return schema && ((value) => check(schema, value, what));
}

function at(value: unknown, keys: readonly PropertyKey[]): unknown {
  let found = value;
  for (const key of keys) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return found;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object") return typeof value;
  const made = (value as { constructor?: { name?: string } }).constructor?.name;
  return made === undefined || made === "Object" ? "an object" : `a ${made}`;
}
