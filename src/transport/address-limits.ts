/** How many addresses an actor may have, and how long: what it registers goes to everyone who looks its name up. */
import { LimitError } from "../errors.ts";

/** More than any host has interfaces worth listening on. */
export const maxAddresses = 64;
/** More than a socket path, or a host name with its port, can take. */
export const maxAddressBytes = 512;
/** Of these, so many may come from one wildcard address. */
export const maxWildcardAddresses = 32;

/** @throws {LimitError} when there are more than 64 addresses, or one has more than 512 bytes */
export function checkAddressLimits(addrs: readonly unknown[]): void {
  if (addrs.length > maxAddresses) {
    throw new LimitError(`an actor may have ${maxAddresses} addresses, not ${addrs.length}`);
  }
  for (const addr of addrs) {
    if (typeof addr !== "string" || addr.length * 3 <= maxAddressBytes) continue;
    const bytes = Buffer.byteLength(addr);
    if (bytes > maxAddressBytes) {
      throw new LimitError(`an address may have ${maxAddressBytes} B, not ${bytes}`);
    }
  }
}
