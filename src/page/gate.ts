/**
 * Who may use the page's server. Any page in the user's browser, and any user of this machine, can send requests to a port of
 * 127.0.0.1, so each request has to show that it comes from our own page in the browser that was given the link:
 *
 * - `Host` must be the printed one: with another, somebody's name resolves to 127.0.0.1 (DNS rebinding).
 * - `Origin` must be ours on everything but a plain GET: other sites can make a browser send those.
 * - The cookie proves that this browser opened the link. It's for one path that nobody else can guess, because a browser sends
 *   cookies to all ports of a host, so to whatever else listens on this machine.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";

import { loopbackOwner } from "../transport/tcp-owner.ts";

/** 128 bits. */
const secretBytes = 16;

/** `refusal`: the status, and a line for who reads it. */
export type Verdict =
  | { readonly isAdmitted: true; readonly setCookie?: string }
  | { readonly isAdmitted: false; readonly status: 403 | 421; readonly reason: string };

/** What tells who asks. */
export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  /** Whether it asks for a WebSocket. */
  readonly isUpgrade: boolean;
  /** The other end of the connection. */
  readonly from: { readonly address: string; readonly port: number } | null;
}

const admitted: Verdict = { isAdmitted: true };

export class Gate {
  /** `127.0.0.1:PORT`. */
  readonly #host: string;
  readonly #port: number;
  readonly #cookie: string = makeSecret();
  /** Begins and ends with a slash. */
  readonly path: string = `/${makeSecret()}/`;
  #token: string | undefined = makeSecret();

  constructor(hostname: string, port: number) {
    this.#host = `${hostname}:${port}`;
    this.#port = port;
  }

  get origin(): string {
    return `http://${this.#host}`;
  }

  /** What to open in a browser. It works once. */
  get link(): string {
    return `${this.origin}${this.path}?token=${this.#token ?? ""}`;
  }

  judge(asked: Asked): Verdict {
    const { method, url, headers, isUpgrade } = asked;
    if (headers.get("host") !== this.#host)
      return refuse(421, `this server only answers to the address that it printed`);
    const origin = headers.get("origin");
    const needsOrigin = isUpgrade || method !== "GET";
    if (origin === null ? needsOrigin : origin !== this.origin)
      return refuse(403, "the request comes from another site, or doesn't say where it comes from");
    if (this.#hasCookie(headers.get("cookie") ?? "")) return admitted;
    const token = url.searchParams.get("token");
    if (token === null || method !== "GET" || isUpgrade)
      return refuse(403, "open the link that furrow ui has printed: it lets one browser in");
    return this.#redeem(token, asked);
  }

  get #cookieName(): string {
    return `furrow-${this.#port}`;
  }

  #redeem(token: string, { from }: Asked): Verdict {
    if (this.#token === undefined)
      return refuse(
        403,
        "the link has been opened already, and works only once: run furrow ui again for another",
      );
    if (!isSame(token, this.#token))
      return refuse(403, "the link's token is wrong: copy all of the printed link");
    // whoever starts a browser shows the link to all users of the machine, in the list of processes
    if (from !== null && isOtherUser(from, { host: "127.0.0.1", port: this.#port }))
      return refuse(403, "the link is for the user who ran furrow ui");
    this.#token = undefined;
    const setCookie = `${this.#cookieName}=${this.#cookie}; Path=${this.path}; HttpOnly; SameSite=Strict`;
    return { isAdmitted: true, setCookie };
  }

  #hasCookie(header: string): boolean {
    const prefix = `${this.#cookieName}=`;
    return header
      .split(/; */)
      .some((pair) => pair.startsWith(prefix) && isSame(pair.slice(prefix.length), this.#cookie));
  }
}

function refuse(status: 403 | 421, reason: string): Verdict {
  return { isAdmitted: false, status, reason };
}

function makeSecret(): string {
  return randomBytes(secretBytes).toString("base64url");
}

/** Takes as long for every wrong text of the right length. */
function isSame(given: string, expected: string): boolean {
  const one = Buffer.from(given);
  const other = Buffer.from(expected);
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Whether the kernel says that the other end belongs to another user; root may be a forwarder of this one's. */
function isOtherUser(
  from: { readonly address: string; readonly port: number },
  ours: { readonly host: string; readonly port: number },
): boolean {
  const own = process.getuid?.();
  const uid = loopbackOwner({ host: from.address, port: from.port }, ours);
  return own !== undefined && uid !== undefined && uid !== own && uid !== 0;
}
