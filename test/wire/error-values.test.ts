import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import * as errors from "../../src/errors.ts";
import { encodeFailure } from "../../src/rpc/remote-error.ts";
import { decodeError, encodeError, registerError } from "../../src/wire/error-values.ts";
import { crossed, frameOf, messageOf } from "./crossing.ts";

const id = { name: "quotes", uuid: "0123456789", pid: 1, host: "0123456789abcdef" };

/** The error as it arrives at a peer. */
function arrived<E extends Error>(error: E): E {
  const [form] = messageOf(frameOf([encodeError(error)])) as [unknown];
  return decodeError(form) as E;
}

/** Its own fields but for the name, which is hidden in some and not in others. */
function fieldsOf(error: Error): object {
  return Object.fromEntries(Object.entries(error).filter(([key]) => key !== "name"));
}

describe("an error that crosses", () => {
  test.each([Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError])(
    "stays a %p",
    (kind) => {
      const error = new kind("what");
      const copy = arrived(error);
      expect(copy).toBeInstanceOf(kind);
      expect(copy.constructor).toBe(kind);
      expect([copy.name, copy.message, copy.stack]).toEqual([error.name, "what", error.stack]);
      expect(Object.keys(copy)).toEqual([]);
    },
  );

  test("keeps its chain of causes, and a cause that is not an error", () => {
    const error = new Error("top", { cause: new TypeError("middle", { cause: { code: 5, list: [1] } }) });
    const { cause } = arrived(error);
    expect(cause).toBeInstanceOf(TypeError);
    expect((cause as Error).message).toBe("middle");
    expect((cause as Error).cause).toEqual({ code: 5, list: [1] });
  });

  test("has no cause where there was none", () => {
    expect("cause" in arrived(new Error("alone"))).toBe(false);
  });

  test("keeps the members of an AggregateError, in order, with their own causes", () => {
    const members = [new RangeError("one", { cause: new Error("why") }), new Error("two"), "no error"];
    const copy = arrived(new AggregateError(members, "both"));
    expect(copy).toBeInstanceOf(AggregateError);
    expect(copy.errors.map(String)).toEqual(["RangeError: one", "Error: two", "Error: no error"]);
    expect(((copy.errors[0] as Error).cause as Error).message).toBe("why");
  });

  test("keeps both errors of a SuppressedError", () => {
    const copy = arrived(new SuppressedError(new Error("disposing"), new TypeError("first"), "two"));
    expect(copy).toBeInstanceOf(SuppressedError);
    expect([copy.message, String(copy.error), String(copy.suppressed)]).toEqual([
      "two",
      "Error: disposing",
      "TypeError: first",
    ]);
  });

  test("keeps the own fields that can cross", () => {
    const fields = { code: "E_QUOTE", at: new Date(5), detail: { a: [1n] }, fn: () => {}, map: new Map() };
    const copy = arrived(Object.assign(new Error("e"), fields)) as unknown as typeof fields;
    expect({ ...copy }).toEqual({ code: "E_QUOTE", at: new Date(5), detail: { a: [1n] } } as typeof fields);
  });

  test("keeps the name of a class that is not registered, as a plain Error", () => {
    class QuoteError extends Error {
      override readonly name = "QuoteError";
    }
    const copy = arrived(new QuoteError("late"));
    expect(copy.constructor).toBe(Error);
    expect(String(copy)).toBe("QuoteError: late");
  });

  test("keeps a Buffer among its fields a Buffer: the output of a program that failed, say", async () => {
    const error = await Bun.$`echo out; exit 3`.quiet().catch((thrown: unknown) => thrown);
    const copy = arrived(error as Bun.$.ShellError);
    expect([copy.exitCode, copy.stdout.toString(), copy.stderr.toString()]).toEqual([3, "out\n", ""]);
  });

  test.each<[what: string, error: Error, prototype: object]>([
    ["set by hand", Object.assign(new Error("m"), { name: "QuoteError" }), Error.prototype],
    ["of a class that is not registered", new (class QuoteError extends Error {})("m"), Error.prototype],
    [
      "set by hand on another class",
      Object.assign(new TypeError("m"), { name: "QuoteError" }),
      TypeError.prototype,
    ],
    [
      "set by hand on one of furrow's own",
      Object.assign(new errors.AddressError("m"), { name: "QuoteError" }),
      errors.AddressError.prototype,
    ],
  ])("keeps a name %s through any number of relays", (_, error, prototype) => {
    let copy = error;
    for (let relays = 0; relays < 5; relays++) {
      copy = arrived(copy);
      expect(String(copy)).toBe("QuoteError: m");
      expect(Object.getPrototypeOf(copy)).toBe(prototype);
    }
  });

  test.each<errors.FurrowError>([
    new errors.AddressError("bad"),
    new errors.TimeoutError("dial", "slow"),
    new errors.ContextCancelledError(id, "enough"),
    new errors.ActorDiedError(id, { exitCode: 3, signal: null, stderr: "tail" }),
    new errors.RemoteActorError({
      actor: id,
      remoteName: "Error",
      remoteMessage: "m",
      remoteStack: "s",
      relayPath: [id],
    }),
    new errors.LimitError("limit", { cause: new Error("inner") }),
    new errors.NameTakenError("taken", id),
  ])("stays itself when it is one of furrow's own: %s", (error) => {
    const copy = arrived(error);
    expect(copy.constructor).toBe(error.constructor);
    expect(copy.name).toBe(error.name);
    expect(fieldsOf(copy)).toEqual(fieldsOf(error));
    expect([copy.message, copy.stack]).toEqual([error.message, error.stack]);
  });

  test("is a real error to the runtime, and printed as one", () => {
    const copy = arrived(new errors.AddressError("bad"));
    expect(Error.isError(copy)).toBe(true);
    expect(Bun.inspect(copy)).toContain("bad");
    expect(Error.isError(arrived(new SyntaxError("s")))).toBe(true);
  });

  test("crosses inside a value, wherever it stands", () => {
    const copy = crossed({ list: [new Map([["why", new TypeError("t")]])] }) as {
      list: [Map<string, Error>];
    };
    expect(copy.list[0].get("why")).toBeInstanceOf(TypeError);
  });
});

describe("encodeError", () => {
  test.each<[thrown: unknown, message: string, cause: unknown]>([
    ["text", "text", "text"],
    [42, "42", 42],
    [null, "null", null],
    [undefined, "undefined", undefined],
    [{ a: 1 }, Bun.inspect({ a: 1 }), { a: 1 }],
  ])("describes %p, which is not an error, and keeps it as the cause", (thrown, message, cause) => {
    const copy = decodeError(encodeError(thrown));
    expect([copy.message, copy.cause]).toEqual([message, cause]);
  });

  test("carries the rest of an error whose getters throw", () => {
    const broken = (key: string): Error =>
      Object.defineProperty(Object.assign(new RangeError("text"), { code: 7 }), key, {
        get() {
          throw new Error("no");
        },
        enumerable: true,
      });
    const seen = ["message", "stack", "cause", "name", "extra", "constructor"].map((key) => {
      const copy = arrived(broken(key)) as Error & { code: number };
      return `${key}: ${copy.name}: ${copy.message}: ${copy.code}`;
    });
    expect(seen).toEqual([
      "message: RangeError: a message that cannot be read: 7",
      "stack: RangeError: text: 7",
      "cause: RangeError: text: 7",
      "name: RangeError: text: 7",
      "extra: RangeError: text: 7",
      "constructor: Error: text: 7",
    ]);
  });

  test("ends at 16 causes", () => {
    let error = new Error("0");
    for (let depth = 1; depth < 100_000; depth++) error = new Error(String(depth), { cause: error });
    let depth = 0;
    for (let at: unknown = arrived(error); at instanceof Error; at = at.cause) depth++;
    expect(depth).toBe(17);
  });

  test("survives cycles of causes and of members, and carries 256 errors at most", () => {
    const own = new Error("own");
    own.cause = own;
    expect(arrived(own).message).toBe("own");
    const all = new AggregateError([], "all");
    all.errors = Array.from({ length: 50 }, () => all);
    const count = (error: Error): number =>
      error instanceof AggregateError
        ? error.errors.reduce((total: number, member: Error) => total + count(member), 1)
        : 1;
    expect(count(arrived(all))).toBe(257);
    const odd: AggregateError = Object.assign(new AggregateError([]), { errors: 5 as never });
    expect(arrived(odd).errors).toEqual([]);
  });

  test("cuts a message and a stack of absurd length", () => {
    const copy = arrived(new Error("x".repeat(1_000_000)));
    expect(copy.message.length).toBe(65_536);
    expect(copy.stack!.length).toBe(16_384);
  });

  test("never throws, whatever was thrown", () => {
    const hostile = new Proxy(new Error("e"), {
      get() {
        throw new Error("no");
      },
      getPrototypeOf() {
        throw new Error("no");
      },
    });
    expect(decodeError(encodeError(hostile))).toBeInstanceOf(Error);
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(decodeError(encodeError(thrown))).toBeInstanceOf(Error);
      }),
    );
  });
});

describe("decodeError", () => {
  test("makes an error of any form, and none of it changes a prototype", () => {
    const odd = { toString: 1, valueOf: 2 };
    const forms = [
      null,
      [],
      [odd, odd, odd, odd, odd, odd],
      ["TypeError", 1, 2, [], [], []],
      ["constructor", "m"],
    ];
    for (const form of forms) expect(decodeError(form)).toBeInstanceOf(Error);
    const fields = JSON.parse('{"__proto__":{"p":1},"constructor":1,"stack":1,"name":"n","ok":1}') as object;
    const error = decodeError(["TypeError", "m", "", null, null, fields]);
    expect(fieldsOf(error)).toEqual({ ok: 1 });
    expect([error.constructor, error.name]).toEqual([TypeError, "TypeError"]);
  });
});

describe("registerError", () => {
  test("lets a class be rebuilt without calling its constructor", () => {
    let made = 0;
    class PriceError extends RangeError {
      readonly price: number;
      constructor(price: number) {
        made++;
        super(`price ${price}`);
        this.price = price;
      }
      get doubled(): number {
        return this.price * 2;
      }
    }
    registerError(PriceError);
    registerError(PriceError);
    const copy = arrived(new PriceError(4));
    expect(copy).toBeInstanceOf(PriceError);
    expect([copy.message, copy.price, copy.doubled, made]).toEqual(["price 4", 4, 8, 1]);
  });

  test("finds the class by its own name, and keeps another name that the error goes by", () => {
    class RateError extends Error {
      override name = "E_RATE";
    }
    registerError(RateError);
    const copy = arrived(arrived(new RateError("m")));
    expect(copy).toBeInstanceOf(RateError);
    expect(String(copy)).toBe("E_RATE: m");
  });

  test("refuses values that are not error classes, and names that are taken", () => {
    expect(() => registerError(class NoError {} as never)).toThrow(
      "registerError takes a class that extends Error",
    );
    const impostor = { TypeError: class TypeError extends Error {} }.TypeError;
    expect(() => registerError(impostor)).toThrow('"TypeError" cannot be registered: the name is taken');
    expect(() => registerError(class extends Error {})).toThrow("the name is empty");
    const own = { LimitError: class LimitError extends Error {} }.LimitError;
    expect(() => registerError(own)).toThrow("the name is taken");
  });
});

describe("an error by a peer that leaves out, or makes up, what its class promises", () => {
  const fields = [null, {}, { canceller: null, actor: null, holder: 1, relayPath: 5 }, { relayPath: [null] }];
  const forms = ["ContextCancelledError", "RemoteActorError", "ActorDiedError", "NameTakenError"].flatMap(
    (name) => fields.map((own): [name: string, own: object | null] => [name, own]),
  );

  test.each(forms)("is a plain error of that name, and can be passed on (%s with %j)", (name, own) => {
    const error = decodeError([name, "made up", "", null, null, own]);
    expect([error.constructor, error.name, error.message]).toEqual([Error, name, "made up"]);
    const self = { name: "self", uuid: "u", pid: 1, host: "" };
    expect(encodeFailure(error, self)[0]).toEqual([self]);
  });

  test("doesn't replace what prints it", () => {
    const error = decodeError(["Error", "made up", "", null, null, { toString: 1, valueOf: 2, code: 3 }]);
    expect(`${error}`).toBe("Error: made up");
    expect((error as unknown as { code: unknown }).code).toBe(3);
  });
});
