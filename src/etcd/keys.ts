/**
 * Where a directory is in etcd. All of a cluster is below `/furrow/1/<space>/`; the host comes before the actor, so that a
 * role of etcd can be bound to one host's keys:
 *
 * - `a/<host>/<uuid>`: an actor
 * - `h/<host>`: a host
 * - `i`: which directory this is; a number that is drawn when it's first used
 * - `u/<name in base64url>`: who holds a name
 * - `w/<host>`: the last write of a host. Nobody watches it, nor the next one
 * - `x/<host>`: the round of a host's claims
 */
const encoder = new TextEncoder();

export type Place =
  | { readonly kind: "entry"; readonly host: string; readonly uuid: string }
  | { readonly kind: "host"; readonly host: string }
  | { readonly kind: "identity" }
  | { readonly kind: "claim"; readonly name: string }
  | { readonly kind: "other" };

export class Keys {
  /** All that followers read, from here to before `end`. */
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  /** The records of hosts, from here to before `hostsEnd`; all actors come before. */
  readonly hosts: Uint8Array;
  readonly hostsEnd: Uint8Array;
  readonly identity: Uint8Array;
  readonly #prefix: string;
  /** The keys of a host's actors come one after the other: its name is made once. */
  #host = "";

  constructor(space: string) {
    this.#prefix = `/furrow/1/${space}/`;
    this.start = this.#key("a/");
    this.end = this.#key("v");
    this.hosts = this.#key("h/");
    this.hostsEnd = this.#key("h0");
    this.identity = this.#key("i");
  }

  entry(host: string, uuid: string): Uint8Array {
    return this.#key(`a/${host}/${uuid}`);
  }

  /** Where the actors of a host begin. */
  entries(host: string): Uint8Array {
    return this.#key(`a/${host}/`);
  }

  /** Where they end. */
  entriesEnd(host: string): Uint8Array {
    return this.#key(`a/${host}0`);
  }

  host(host: string): Uint8Array {
    return this.#key(`h/${host}`);
  }

  claim(name: string): Uint8Array {
    return this.#key(`u/${Buffer.from(name).toString("base64url")}`);
  }

  lastWrite(host: string): Uint8Array {
    return this.#key(`w/${host}`);
  }

  claimRound(host: string): Uint8Array {
    return this.#key(`x/${host}`);
  }

  /** Reads a key of this directory. */
  read(key: Uint8Array): Place {
    const start = this.#prefix.length + 2;
    const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    switch (text.toString("latin1", start - 2, start)) {
      case "a/": {
        const slash = text.indexOf(0x2f, start);
        if (!isId(text, start, slash) || !isId(text, slash + 1, text.length)) return other;
        const host = text.toString("latin1", start, slash);
        if (host !== this.#host) this.#host = host;
        return { kind: "entry", host: this.#host, uuid: text.toString("latin1", slash + 1) };
      }
      case "h/":
        return isId(text, start, text.length)
          ? { kind: "host", host: text.toString("latin1", start) }
          : other;
      case "i":
        return { kind: "identity" };
      case "u/":
        return {
          kind: "claim",
          name: Buffer.from(text.toString("latin1", start), "base64url").toString(),
        };
      default:
        return other;
    }
  }

  #key(rest: string): Uint8Array {
    return encoder.encode(`${this.#prefix}${rest}`);
  }
}

const other = { kind: "other" } as const;

/** Whether it is a uuid or a host id: 1 to 64 letters, digits, `-` or `_`. By the byte, because there are very many. */
function isId(text: Uint8Array, from: number, to: number): boolean {
  if (to <= from || to - from > 64) return false;
  for (let at = from; at < to; at++) {
    const byte = text[at]!;
    const isLetter = (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
    if (!isLetter && !(byte >= 0x30 && byte <= 0x39) && byte !== 0x2d && byte !== 0x5f) return false;
  }
  return true;
}

/** The key right after this one. */
export function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
