/** What others are told to dial, where that isn't what is bound. Most actors advertise what they bind, and never load this. */
import { AddressError } from "../errors.ts";
import {
  type Address,
  formatAddress,
  parseAddress,
  type ParsedAddress,
  type ParsedTcpAddress,
} from "./address.ts";
import { ipVersion, isLoopback, isWildcard } from "./host.ts";

/**
 * Reads what is to be advertised: tcp addresses in either spelling, or hosts. A host is given with port 0, or without a port,
 * or by itself (`10.0.0.7`, `fd00::7`, `node7.example`); it gets port 0.
 *
 * @throws {AddressError} when one is malformed, or nobody could dial it; it names the `option`
 */
export function readAdvertised(option: string, inputs: readonly string[]): readonly Address[] {
  if (!Array.isArray(inputs)) throw new AddressError(`${option} must be a list of addresses`);
  return Array.from(new Set(inputs.map((input) => formatAddress(readOne(option, input)))));
}

function readOne(option: string, input: string): ParsedTcpAddress {
  let parsed: ParsedAddress;
  try {
    parsed = parseAddress(typeof input === "string" ? withPort(input.trim()) : input);
  } catch (error) {
    throw new AddressError(`${option}: ${(error as Error).message}`, { cause: error });
  }
  if (parsed.transport === "unix")
    throw new AddressError(`${option} has ${input}, which other hosts can't dial: give tcp addresses`);
  if (isWildcard(parsed.host)) {
    const text = `${option} has ${input}, which is no address to dial: give one of this host's own`;
    throw new AddressError(`${text} (bindAddrs may be tcp://${parsed.host}:0)`);
  }
  return parsed;
}

/** Completes a host to an address with port 0. What isn't a host stays as it is. */
function withPort(text: string): string {
  const host = text.startsWith("tcp://") ? text.slice("tcp://".length) : text;
  if (ipVersion(host) === 6) return `tcp://[${host}]:0`;
  // a name or an IPv4 address, or an IPv6 address in brackets
  return /^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[^\]]*\])$/.test(host) ? `tcp://${host}:0` : text;
}

/** Those that stand for a host: port 0 is that of each listener. Children have other ports, so they inherit these alone. */
export function hostsAmong(advertised: readonly Address[]): Address[] {
  return advertised.filter((addr) => tcp(addr).port === 0);
}

/**
 * The tcp addresses that `advertised` makes of the listeners' own. It replaces the addresses of all listeners that other
 * hosts could dial; those on loopback keep theirs, except where there are no others.
 *
 * @returns which listeners keep their addresses, and what is advertised in place of the others' addresses
 */
export function advertise(
  listeners: readonly ParsedAddress[],
  advertised: readonly Address[],
): { readonly kept: readonly ParsedAddress[]; readonly instead: readonly Address[] } {
  const ports = listeners.filter((one) => one.transport === "tcp");
  const open = ports.filter(({ host }) => !isLoopback(host));
  const parsed = advertised.map(tcp);
  // a host alone says nothing of a listener on loopback; a port may well be forwarded to one
  const isReplaced = open.length > 0 ? parsed.length > 0 : parsed.some(({ port }) => port !== 0);
  if (!isReplaced || ports.length === 0) return { kept: listeners, instead: [] };
  const instead = parsed.flatMap(({ host, port }) =>
    (port === 0 ? open.map((one) => one.port) : [port]).map((one) =>
      formatAddress({ transport: "tcp", host, port: one }),
    ),
  );
  const replaced = open.length > 0 ? open : ports;
  const kept = listeners.filter((one) => one.transport === "unix" || !replaced.includes(one));
  return { kept, instead: Array.from(new Set(instead)) };
}

/** @throws {AddressError} when a host is advertised for listeners on loopback alone, at which nobody could reach it */
export function checkAdvertised(
  option: string,
  advertised: readonly Address[],
  bound: readonly Address[],
): void {
  const host = hostsAmong(advertised).find((addr) => !isLoopback(tcp(addr).host));
  const isOpen = bound.some((addr) => {
    const parsed = parseAddress(addr);
    return parsed.transport === "tcp" && !isLoopback(parsed.host);
  });
  if (host === undefined || isOpen) return;
  throw new AddressError(
    `${option} has the host ${tcp(host).host}, but no address is bound that other hosts can reach: ` +
      "add tcp://0.0.0.0:0 to bindAddrs, or advertise the port that leads here",
  );
}

function tcp(addr: Address): ParsedTcpAddress {
  return parseAddress(addr) as ParsedTcpAddress;
}
