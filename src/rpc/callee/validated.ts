/** Optional checks at run time, by any validator that speaks Standard Schema (zod, valibot, arktype, ...). */
import { EncodeError } from "../../errors.ts";

/** The part of Standard Schema (https://standardschema.dev, version 1) that is used here. */
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

/** A schema for each thing that crosses; what is left out is not checked. `args` is for the list of arguments. */
export interface Schemas {
  readonly args?: Schema;
  readonly result?: Schema;
  readonly started?: Schema;
  /** The callee's messages, a generator's values too. */
  readonly send?: Schema;
  /** The caller's messages. */
  readonly receive?: Schema;
}

const known = new WeakMap<object, Schemas>();

/**
 * Has what crosses to and from an exported function checked, and replaced by what the schema makes of it.
 *
 * A value that does not fit is an `EncodeError` that names the function, the path and the value's type, for the side
 * that sent it: the caller's call or dialog fails with it, the callee's `send` or `return` does.
 *
 * @returns `fn` itself, to be exported
 * @throws {TypeError} at once, when a key is unknown or a value is not a Standard Schema: nothing would be checked
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

/** Some validators make schemas that are functions. */
function isSchema(value: unknown): value is Schema {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard: unknown = (value as Partial<Schema>)["~standard"];
  if (typeof standard !== "object" || standard === null) return false;
  const { version, validate } = standard as { version?: unknown; validate?: unknown };
  return version === 1 && typeof validate === "function";
}

/** The schemas of a function, if it has some. */
export function schemasOf(fn: object): Schemas | undefined {
  return known.get(fn);
}

/**
 * The value as the schema makes it; the value itself without a schema.
 *
 * @throws {EncodeError} when it does not fit
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

/** The arguments of a call as the schema makes them. @throws {EncodeError} when they do not fit */
export async function checkArguments(
  schemas: Schemas | undefined,
  name: string,
  args: unknown[],
): Promise<unknown[]> {
  if (schemas?.args === undefined) return args;
  const checked = await check(schemas.args, args, `arguments of ${name}`);
  return Array.isArray(checked) ? (checked as unknown[]) : args;
}

/** A call with its arguments and its result checked; not made when it is cancelled while its arguments are looked at. */
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

/** The check of one kind of value, or undefined where there is none to make. */
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
