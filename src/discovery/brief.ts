/**
 * The brief form of a registration: one text. A lookup's answer as a text costs both ends less than a list of its fields does,
 * and so does what a cache keeps of it until somebody wants to know (row `lookup.registrar.unix.64`).
 *
 * Its first line is `uuid pid revision host`, and each line after that is an address. A socket file of the actor's own host
 * is in the short form, without the host.
 */
import type { ActorId } from "../identity.ts";
import { type Address, localizeAddress, qualifyAddress } from "../transport/address.ts";
import { hostId } from "../transport/host.ts";

/** Writes a brief form. The fields of the identity must be well-formed: `idFault`. */
export function writeBrief(
  uuid: string,
  pid: number,
  revision: number,
  host: string,
  addrs: readonly Address[],
): string {
  let text = `${uuid} ${pid} ${revision} ${host}`;
  for (const addr of addrs) text += `\n${localizeAddress(addr, host)}`;
  return text;
}

const form = /^[\w-]{1,64} \d{1,10} \d{1,16} [A-Za-z0-9]{0,64}(?:\n|$)/;

/** Whether it begins as a brief form does; an address that is none is its actor's fault. */
export function isBrief(text: unknown): text is string {
  return typeof text === "string" && form.test(text);
}

/** What a brief form says of an actor of that name, with its addresses as this host sees them. */
export function readBrief(name: string, text: string): { readonly id: ActorId; readonly addrs: Address[] } {
  const pidAt = text.indexOf(" ") + 1;
  const revisionAt = text.indexOf(" ", pidAt) + 1;
  const hostAt = text.indexOf(" ", revisionAt) + 1;
  const lineEnd = text.indexOf("\n", hostAt);
  const end = lineEnd < 0 ? text.length : lineEnd;
  const uuid = text.slice(0, pidAt - 1);
  const pid = Number(text.slice(pidAt, revisionAt - 1));
  const host = text.slice(hostAt, end);
  return { id: { name, uuid, pid, host }, addrs: addressesIn(text, end + 1, host) };
}

/** The addresses in the lines from there on, as this host sees them. */
function addressesIn(text: string, from: number, host: string): Address[] {
  const addrs: Address[] = [];
  const isHere = host === hostId();
  for (let at = from; at <= text.length;) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    const addr = text.slice(at, end) as Address;
    addrs.push(isHere ? addr : localizeAddress(qualifyAddress(addr, host), hostId()));
    at = end + 1;
  }
  return addrs;
}
