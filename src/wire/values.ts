/**
 * What may cross a wire, and how values cross that msgpack has no type for.
 *
 * Most values cross as they are. A value that holds a Map, a Set, an Error, a Buffer, a shared buffer, a negative zero or a
 * `__proto__` key crosses in *rich form*, and its message says so. In that form every array begins with a tag (`Tag`), so
 * that tagged arrays can stand for those values. `docs/protocol.md` describes both forms; `encode.ts` and `received.ts` decide which values
 * come here. Loaded by the first of them, because most children have none (row `spawn`).
 */
import { asError, EncodeError, FrameError } from "../errors.ts";
import { bufferTag, LargeBinary, largeBinaryBytes } from "./large-binary.ts";
import { setOwn } from "./decode.ts";
import { decodeError, encodeError } from "./error-values.ts";
import { fitsInt64, isBuffer, maxDepth } from "./plain.ts";
import { copiedBuffer, type Carrier, SharedBuffer } from "./shared-buffer.ts";

/** The first element of every array in rich form. */
const Tag = {
  array: 0,
  map: 1,
  set: 2,
  negativeZero: 3,
  error: 4,
  object: 5,
  buffer: bufferTag,
  sharedBuffer: 7,
} as const;

/** A value in the form in which a message carries it. `rich` goes into the message beside it. */
export interface WireValue<Value = unknown> {
  readonly value: Value;
  readonly rich: boolean;
}

/**
 * Copies a value that is not plain into plain form, or into rich form if it needs that; a list stays a list. Errors call it
 * `what`. Large binaries are not copied: their memory must not change until they have left. Nor are shared buffers, where the
 * connection that they cross can share them.
 *
 * @throws {EncodeError} with the path to the part of it that cannot cross
 */
export function copyForWire(
  value: readonly unknown[],
  what: string,
  carrier?: Carrier,
): WireValue<readonly unknown[]>;
export function copyForWire(value: unknown, what: string, carrier?: Carrier): WireValue;
export function copyForWire(value: unknown, what: string, carrier?: Carrier): WireValue {
  const plain = new Copier(what, false);
  const copied = plain.copy(value);
  if (!plain.needsRich) return { value: copied, rich: false };
  return { value: new Copier(what, true, carrier).copy(value), rich: true };
}

/** Copies a value for the wire, and keeps track of the path to the part that it is copying. */
class Copier {
  needsRich = false;
  readonly #rich: boolean;
  readonly #what: string;
  readonly #carrier: Carrier | undefined;
  readonly #path: (string | number)[] = [];
  readonly #ancestors = new Set<object>();

  constructor(what: string, rich: boolean, carrier?: Carrier) {
    this.#what = what;
    this.#rich = rich;
    this.#carrier = carrier;
  }

  copy(value: unknown): unknown {
    switch (typeof value) {
      case "string":
      case "boolean":
      case "undefined":
        return value;
      case "number":
        return value === 0 && 1 / value < 0 ? this.#tagged([Tag.negativeZero]) : value;
      case "bigint":
        if (!fitsInt64(value)) this.#fail("a bigint beyond 64 bits");
        return value;
      case "object":
        return value === null ? null : this.#object(value);
      default:
        return this.#fail(`a ${typeof value}`);
    }
  }

  #object(value: object): unknown {
    if (value instanceof Uint8Array) {
      return isBuffer(value) ? this.#tagged([Tag.buffer, binary(value)]) : binary(value);
    }
    if (this.#ancestors.has(value)) this.#fail("a cycle");
    if (this.#ancestors.size >= maxDepth) this.#fail(`nested more than ${maxDepth} deep`);
    this.#ancestors.add(value);
    const copied = this.#compound(value);
    this.#ancestors.delete(value);
    return copied;
  }

  #compound(value: object): unknown {
    if (value instanceof Error) return this.#tagged([Tag.error, encodeError(value)]);
    const prototype: unknown = Object.getPrototypeOf(value);
    switch (prototype) {
      case Array.prototype: {
        const items = Array.from(value as unknown[], (item, index) => this.#at(index, item));
        return this.#rich ? [Tag.array, ...items] : items;
      }
      case Map.prototype: {
        const flat: unknown[] = [Tag.map];
        for (const [key, item] of value as Map<unknown, unknown>) {
          flat.push(this.#at("<key>", key), this.#at(typeof key === "string" ? key : "<value>", item));
        }
        return this.#tagged(flat);
      }
      case Set.prototype:
        return this.#tagged([
          Tag.set,
          ...Array.from(value as Set<unknown>, (item) => this.#at("<item>", item)),
        ]);
      case Date.prototype:
        return value;
      case SharedBuffer.prototype:
        return this.#tagged(this.#shared(value as SharedBuffer));
      case Object.prototype:
      case null:
        return this.#record(value as Record<string, unknown>);
      default:
        return this.#fail(`an instance of ${className(prototype)}`);
    }
  }

  #record(value: Record<string, unknown>): unknown {
    const keys = Object.keys(value);
    if (keys.includes("__proto__")) {
      return this.#tagged([Tag.object, ...keys.flatMap((key) => [key, this.#at(key, value[key])])]);
    }
    const copied: Record<string, unknown> = {};
    for (const key of keys) copied[key] = this.#at(key, value[key]);
    return copied;
  }

  #shared(buffer: SharedBuffer): unknown[] {
    try {
      const { bytes } = buffer;
      // the plain copy isn't sent; it finds what can't cross before anything is given
      if (!this.#rich) return [];
      const numbers = this.#carrier?.sharing.give(buffer);
      return [Tag.sharedBuffer, ...(numbers ?? [binary(bytes)])];
    } catch (error) {
      throw new EncodeError(`${this.#where}: ${asError(error).message}`, { cause: error });
    }
  }

  #at(step: string | number, value: unknown): unknown {
    this.#path.push(step);
    const copied = this.copy(value);
    this.#path.pop();
    return copied;
  }

  #tagged(form: unknown[]): unknown {
    this.needsRich = true;
    return form;
  }

  get #where(): string {
    const steps = this.#path.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("");
    return this.#what + steps;
  }

  #fail(found: string): never {
    throw new EncodeError(`${this.#where}: ${found} cannot cross a wire`);
  }
}

function binary(bytes: Uint8Array): Uint8Array | LargeBinary {
  return bytes.length >= largeBinaryBytes ? new LargeBinary(bytes) : bytes;
}

function className(prototype: unknown): string {
  const made = (prototype as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof made === "string" && made !== "" ? made : "a class";
}

/**
 * Brings a value back from rich form; may change it in place.
 *
 * @throws {FrameError} when that is malformed
 */
export function revive(value: unknown, carrier?: Carrier): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return reviveTagged(value as unknown[], carrier);
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record)) record[key] = revive(record[key], carrier);
  return record;
}

function reviveTagged(form: unknown[], carrier: Carrier | undefined): unknown {
  const items = (): unknown[] => form.slice(1).map((item) => revive(item, carrier));
  switch (form[0]) {
    case Tag.array:
      return items();
    case Tag.map:
      return new Map(pairs(items()));
    case Tag.set:
      return new Set(items());
    case Tag.negativeZero:
      return -0;
    case Tag.error:
      return decodeError(form[1]);
    case Tag.object:
      return reviveObject(items());
    case Tag.buffer:
      return reviveBuffer(form[1]);
    case Tag.sharedBuffer:
      return reviveShared(form, carrier);
    default:
      throw new FrameError(
        `unknown tag ${typeof form[0] === "number" ? form[0] : typeof form[0]} in rich form`,
      );
  }
}

/** Makes a Buffer that views the same memory. */
function reviveBuffer(bytes: unknown): Buffer {
  if (!(bytes instanceof Uint8Array)) throw new FrameError(`a Buffer of ${typeof bytes} in rich form`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function reviveShared(form: unknown[], carrier: Carrier | undefined): SharedBuffer {
  const [, first] = form;
  if (first instanceof Uint8Array) return copiedBuffer(first);
  if (carrier === undefined) throw new FrameError("a shared buffer where none can be shared");
  return carrier.sharing.take(form.slice(1));
}

function reviveObject(flat: unknown[]): object {
  const record = {};
  for (const [key, value] of pairs(flat)) {
    if (typeof key !== "string") throw new FrameError(`a ${typeof key} as a key in rich form`);
    setOwn(record, key, value);
  }
  return record;
}

function pairs(flat: unknown[]): [unknown, unknown][] {
  if (flat.length % 2 !== 0) throw new FrameError("a key without a value in rich form");
  const out: [unknown, unknown][] = [];
  for (let at = 0; at < flat.length; at += 2) out.push([flat[at], flat[at + 1]]);
  return out;
}
