/** Reads what `etcd(...)` is given. Each error names the option and what to do. */
import { readFileSync } from "node:fs";

import { asError } from "../errors.ts";
import type { SessionTls } from "./session.ts";

/** Paths of PEM files. */
export interface EtcdTls {
  /** The only authorities trusted to sign the servers' certificates; default: those that the system trusts. */
  readonly ca?: string;
  /** This client's certificate, and its key. */
  readonly cert?: string;
  readonly key?: string;
}

export interface EtcdOptions {
  /** Keeps clusters apart that share an etcd: 1 to 64 letters, digits, `.`, `_` or `-`. Default "default". */
  readonly space?: string;
  /**
   * How long the entries of a host that died stay, in milliseconds: whole seconds from 2,000 to 600,000. Default 6,000. It is
   * renewed every third of that.
   */
  readonly ttlMs?: number;
  readonly tls?: EtcdTls;
  /** A user of etcd, if it asks for one. */
  readonly username?: string;
  readonly password?: string;
}

export interface ReadOptions {
  readonly endpoints: readonly string[];
  readonly space: string;
  readonly ttlMs: number;
  readonly tls: EtcdTls | undefined;
  readonly user: { readonly name: string; readonly password: string } | undefined;
}

const defaultTtlMs = 6_000;
const shortestTtlMs = 2_000;
const longestTtlMs = 600_000;
const maxEndpoints = 32;
const spacePattern = /^[A-Za-z0-9._-]{1,64}$/;
const tlsNames = ["ca", "cert", "key"] as const;

/**
 * @throws {TypeError} when an option is of the wrong type or form
 * @throws {RangeError} when `ttlMs` isn't in its range
 * @throws {Error} when a file of `tls` can't be read (`cause`: why)
 */
export function readOptions(urls: string | readonly string[], options: EtcdOptions): ReadOptions {
  const { space = "default", ttlMs = defaultTtlMs, tls } = options;
  const endpoints = readEndpoints(urls);
  if (!spacePattern.test(space))
    throw new TypeError(`etcd: space must be 1 to 64 letters, digits, ".", "_" or "-", got ${quoted(space)}`);
  if (!Number.isInteger(ttlMs / 1_000) || ttlMs < shortestTtlMs || ttlMs > longestTtlMs)
    throw new RangeError(
      `etcd: ttlMs must be whole seconds from ${shortestTtlMs} to ${longestTtlMs} ms, got ${String(ttlMs)}`,
    );
  if (tls !== undefined) checkTls(tls, endpoints);
  return { endpoints, space, ttlMs, tls, user: readUser(options) };
}

function readEndpoints(urls: string | readonly string[]): string[] {
  const list = typeof urls === "string" ? urls.split(",") : urls;
  const endpoints = list.map((url) => readEndpoint(String(url).trim()));
  const once = Array.from(new Set(endpoints));
  if (once.length === 0 || once.length > maxEndpoints)
    throw new TypeError(`etcd: give the URLs of 1 to ${maxEndpoints} servers, got ${once.length}`);
  const schemes = new Set(once.map((url) => new URL(url).protocol));
  if (schemes.size > 1) throw new TypeError("etcd: the servers must all have http or all https");
  return once;
}

/** The origin of a URL. */
function readEndpoint(text: string): string {
  const url = URL.parse(text);
  const example = `write it like "https://etcd1.example:2379"`;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new TypeError(`etcd: ${quoted(text)} isn't a URL of a server: ${example}`);
  // the message doesn't repeat it: it holds a password
  if (url.username !== "" || url.password !== "")
    throw new TypeError(
      `etcd: a URL can't hold a user: give username and password as options, and ${example}`,
    );
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw new TypeError(`etcd: ${quoted(text)} has more than scheme, host and port: ${example}`);
  // 2379 is etcd's port, not 80 or 443
  if (url.port === "" && !/:(80|443)\/?$/.test(text)) url.port = "2379";
  return url.origin;
}

function readUser({ username, password }: EtcdOptions): ReadOptions["user"] {
  if (username === undefined && password === undefined) return undefined;
  if (typeof username !== "string" || username === "")
    throw new TypeError("etcd: there is a password without a username: give both or neither");
  if (typeof password !== "string" || password === "")
    throw new TypeError(`etcd: user ${quoted(username)} has no password: give both or neither`);
  return { name: username, password };
}

function checkTls(tls: EtcdTls, endpoints: readonly string[]): void {
  const [plain] = endpoints.filter((url) => url.startsWith("http:"));
  if (plain !== undefined)
    throw new TypeError(`etcd: tls is set, but ${plain} is without it: write https, or leave tls out`);
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const [has, lacks] = tls.key === undefined ? ["cert", "key"] : ["key", "cert"];
    throw new TypeError(`etcd: tls.${has} is set without tls.${lacks}: a client certificate needs both`);
  }
  readTls(tls);
}

/** Reads the files as they are now. @throws {Error} when one can't be read */
export function readTls(tls: EtcdTls): SessionTls {
  const [ca, cert, key] = tlsNames.map((name) => readPem(name, tls[name]));
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function readPem(name: string, path: unknown): string | undefined {
  if (path === undefined) return undefined;
  if (typeof path !== "string" || path === "")
    throw new TypeError(
      `etcd: tls.${name} must be the path of a PEM file, got ${path === "" ? '""' : typeof path}`,
    );
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`etcd: tls.${name}: ${path} can't be read: ${asError(error).message}`, { cause: error });
  }
  if (!text.includes("-----BEGIN ")) throw new Error(`etcd: tls.${name}: ${path} isn't PEM`);
  return text;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
