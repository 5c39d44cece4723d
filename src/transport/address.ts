/** Addresses: parsing either spelling, formatting, and ranking. */
import { AddressError } from "../errors.ts";
import { hostId, interfaceAddresses, ipVersion, isLoopback, isWildcard } from "./host.ts";

export type Transport = "unix" | "tcp";
/** `tcp://127.0.0.1:1616`, `tcp://[::1]:1616`, `tcp://db.example:1616`. */
export type TcpAddress = `tcp://${string}`;
/** `unix:///abs/path.sock`. The authority is a host id (see `ActorId.host`); empty means this host. */
export type UnixAddress = `unix://${string}`;
export type Address = TcpAddress | UnixAddress;
/**
 * What options accept: an address or a multiaddr, `/ip4/127.0.0.1/tcp/1616`, `/ip6/::1/tcp/1616`, `/unix/run/x.sock`.
 */
export type AddressInput = Address | `/${string}`;

export type ParsedTcpAddress = { transport: "tcp"; host: string; port: number };
export type ParsedUnixAddress = { transport: "unix"; path: string; host: string };
/** `host` of a unix address is a host id; "" is this host. */
export type ParsedAddress = ParsedTcpAddress | ParsedUnixAddress;

/**
 * Reads an address in either spelling.
 *
 * @throws {AddressError} when it is malformed, naming the part
 */
export function parseAddress(text: string): ParsedAddress {
  if (typeof text !== "string") throw new AddressError(`an address must be a string, got ${typeof text}`);
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (/[\u0000-\u001f\u007f]/.test(text)) throw fault(text, "has a control character");
  if (text.startsWith("tcp://")) return parseTcp(text, text.slice("tcp://".length));
  if (text.startsWith("unix://")) return parseUnix(text, text.slice("unix://".length));
  if (text.startsWith("/")) return parseMultiaddr(text);
  throw unreadable(text);
}

const tcpForm = "must be tcp://host:port, with an ipv6 host in brackets";
const unixForm = "must be unix:///absolute/path, or unix://host-id/absolute/path";

/** The error for a text that matches neither spelling. */
function unreadable(text: string): AddressError {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1];
  if (scheme === "tcp") return fault(text, tcpForm);
  if (scheme === "unix") return fault(text, unixForm);
  if (isAddress(`tcp://${text}`)) return fault(text, `has no transport: write tcp://${text}`);
  if (scheme !== undefined) return fault(text, `has the unknown transport "${scheme}" (known: tcp, unix)`);
  return fault(text, "is neither a URL (tcp://host:port, unix:///absolute/path) nor a multiaddr");
}

function parseTcp(text: string, rest: string): ParsedTcpAddress {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(rest);
  if (match === null) throw fault(text, tcpForm);
  const [, bracketed, plain = "", port = ""] = match;
  if (bracketed !== undefined && ipVersion(bracketed) !== 6)
    throw fault(text, `"${bracketed}" is not an ipv6 address`);
  const host = bracketed ?? plain;
  if (bracketed === undefined) checkHost(text, host);
  return { transport: "tcp", host, port: parsePort(text, port) };
}

function checkHost(text: string, host: string): void {
  if (host === "") throw fault(text, "has no host");
  if (/^[\d.]+$/.test(host) ? ipVersion(host) !== 4 : !/^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/.test(host)) {
    throw fault(text, `"${host}" is not a host name or ipv4 address`);
  }
}

function parsePort(text: string, port: string): number {
  const number = /^\d{1,5}$/.test(port) ? Number(port) : -1;
  if (number < 0 || number > 65_535) throw fault(text, `"${port}" is not a port (0 to 65535)`);
  return number;
}

function parseUnix(text: string, rest: string): ParsedUnixAddress {
  const slash = rest.indexOf("/");
  if (slash < 0) throw fault(text, unixForm);
  const host = rest.slice(0, slash);
  if (!/^[A-Za-z0-9]*$/.test(host)) throw fault(text, `"${host}" is not a host id`);
  return { transport: "unix", path: checkPath(text, rest.slice(slash)), host };
}

function checkPath(text: string, path: string): string {
  if (path === "/" || path.endsWith("/")) throw fault(text, "names a directory, not a socket file");
  return path;
}

function parseMultiaddr(text: string): ParsedAddress {
  const [, protocol = "", value = "", inner = "", port = "", ...more] = text.split("/");
  if (protocol === "unix") {
    // everything after the protocol is the path, with or without a second leading slash
    const path = text.slice("/unix".length).replace(/^\/+/, "/");
    if (path === "" || path === "/") throw fault(text, "has no path");
    return { transport: "unix", path: checkPath(text, path), host: "" };
  }
  if (!["ip4", "ip6", "dns", "dns4", "dns6"].includes(protocol)) {
    const known = `has the unknown protocol "${protocol}" (known: ip4, ip6, dns, dns4, dns6, unix)`;
    throw fault(text, isAddress(`unix://${text}`) ? `${known}; a socket file is unix://${text}` : known);
  }
  if (inner !== "tcp") throw fault(text, `has the unknown transport "${inner}" (known: tcp)`);
  if (more.length > 0) throw fault(text, `continues after the port: "/${more.join("/")}"`);
  if (protocol === "ip4" ? ipVersion(value) !== 4 : protocol === "ip6" && ipVersion(value) !== 6) {
    throw fault(text, `"${value}" is not an ${protocol} address`);
  }
  if (protocol.startsWith("dns")) checkHost(text, value);
  return { transport: "tcp", host: value, port: parsePort(text, port) };
}

function fault(text: string, what: string): AddressError {
  return new AddressError(`address "${text}" ${what}`);
}

/** Formats the address in URL spelling. */
export function formatAddress(parsed: ParsedAddress): Address {
  if (parsed.transport === "unix") return `unix://${parsed.host}${parsed.path}`;
  return `tcp://${parsed.host.includes(":") ? `[${parsed.host}]` : parsed.host}:${parsed.port}`;
}

/** Converts either spelling to URL spelling. @throws {AddressError} when malformed */
export function normalizeAddress(input: string): Address {
  return formatAddress(parseAddress(input));
}

/**
 * Converts an address to a multiaddr.
 *
 * @throws {AddressError} when it is malformed, or a socket file of another host, which a multiaddr can't express
 */
export function toMultiaddr(addr: Address): string {
  const parsed = parseAddress(addr);
  if (parsed.transport === "unix") {
    if (!isThisHost(parsed)) throw fault(addr, "is on another host, which a multiaddr can't express");
    return `/unix${parsed.path}`;
  }
  const family = ipVersion(parsed.host);
  return `/${family === 0 ? "dns" : `ip${family}`}/${parsed.host}/tcp/${parsed.port}`;
}

export function isAddress(text: unknown): text is Address {
  return readAddress(text) !== undefined;
}

/** Like `parseAddress`, but returns undefined instead of throwing. */
function readAddress(text: unknown): Readonly<ParsedAddress> | undefined {
  try {
    return parseAddress(text as string);
  } catch {
    return undefined;
  }
}

function isThisHost(parsed: Readonly<ParsedUnixAddress>): boolean {
  return parsed.host === "" || parsed.host === hostId();
}

/** Adds the host id, for the wire: another host must not mistake the path for one of its own. */
export function qualifyAddress(addr: Address, host: string): Address {
  return addr.startsWith("unix:///") ? `unix://${host}${addr.slice("unix://".length)}` : addr;
}

/** Drops the host id if it is `host`: the short form that is shown on that host. */
export function localizeAddress(addr: Address, host: string): Address {
  const end = "unix://".length + host.length;
  const isOwn = addr.startsWith("unix://") && addr.startsWith(host, "unix://".length) && addr[end] === "/";
  return isOwn && host !== "" ? `unix://${addr.slice(end)}` : addr;
}

const undialable = 3;

/** The order in which tiers are dialled: those of an actor on this host, and those of one on another host. */
const tiersHere = [0, 1, 2] as const;
const tiersElsewhere = [0, 2, 1] as const;

/** How long the addresses of this host's interfaces are taken for granted: reading them takes longer than a lookup. */
const interfacesLastMs = 1_000;

let interfaces: { readonly addresses: Set<string>; readonly readAt: number } | undefined;

/** Whether this host has the address. */
function isOwn(host: string): boolean {
  const now = performance.now();
  if (interfaces === undefined || now - interfaces.readAt > interfacesLastMs)
    interfaces = { addresses: interfaceAddresses(), readAt: now };
  return interfaces.addresses.has(host);
}

/** 0 unix on this host, 1 tcp on this host, 2 remote tcp, 3 can't be dialled from here. */
function tierOf(parsed: Readonly<ParsedAddress>): 0 | 1 | 2 | 3 {
  if (parsed.transport === "unix") return isThisHost(parsed) ? 0 : undialable;
  const { host } = parsed;
  return isLoopback(host) || isWildcard(host) || isOwn(host) ? 1 : 2;
}

/**
 * Returns the addresses that can be dialled from here, best first: unix on this host, tcp on this host (loopback, or
 * an address of one of its interfaces), remote tcp. Within a tier the last registered comes first. Unix addresses of
 * other hosts are dropped.
 *
 * @throws {AddressError} when one is malformed
 */
export function rankAddresses(addrs: readonly Address[]): Address[] {
  return rank(addrs, tiersHere);
}

/**
 * The addresses of an actor on `host` (a host id) in the order of dialling them from here: as `rankAddresses`, except
 * that the loopback addresses of another host come last, and so do those that this host has too, such as that of a
 * bridge for containers. They most likely lead back to this host; but where the two hosts differ only in their mount
 * namespaces, they lead to the actor.
 *
 * @throws {AddressError} when one is malformed
 */
export function dialOrder(addrs: readonly Address[], host: string): Address[] {
  return rank(addrs, host === hostId() ? tiersHere : tiersElsewhere);
}

function rank(addrs: readonly Address[], order: readonly number[]): Address[] {
  const tiers: Address[][] = [[], [], []];
  for (let at = addrs.length - 1; at >= 0; at--) {
    const addr = addrs[at]!;
    tiers[tierOf(parseAddress(addr))]?.push(addr);
  }
  return order.flatMap((tier) => tiers[tier] ?? []);
}

/** The first of `dialOrder` without building the list; skips malformed addresses. */
export function bestAddress(addrs: readonly Address[], host: string): Address | undefined {
  // nearly every actor of this host has just a socket file: what would be read of it isn't needed
  if (addrs.length === 1 && isFileHere(addrs[0]!)) return addrs[0];
  const order: readonly number[] = host === hostId() ? tiersHere : tiersElsewhere;
  let best: Address | undefined;
  let bestPlace = order.length;
  for (let at = addrs.length - 1; at >= 0 && bestPlace > 0; at--) {
    const addr = addrs[at]!;
    const parsed = readAddress(addr);
    const place = parsed === undefined ? -1 : order.indexOf(tierOf(parsed));
    if (place >= 0 && place < bestPlace) {
      best = addr;
      bestPlace = place;
    }
  }
  return best;
}

function isFileHere(addr: Address): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  return addr.startsWith("unix:///") && !addr.endsWith("/") && !/[\u0000-\u001f\u007f]/.test(addr);
}

const allTransports: readonly Transport[] = ["unix", "tcp"];
/**
 * Checks the transports to use and drops repeats.
 *
 * @throws {AddressError} when the list is empty or a transport is unknown
 */
export function readTransports(transports: readonly Transport[]): readonly Transport[] {
  if (transports.length === 0) throw new AddressError("enableTransports must name at least one of unix, tcp");
  for (const transport of transports) {
    if (!allTransports.includes(transport)) {
      throw new AddressError(`enableTransports: unknown transport "${String(transport)}" (known: unix, tcp)`);
    }
  }
  return Array.from(new Set(transports));
}
