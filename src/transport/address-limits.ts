/** Limits on the number and length of an actor's addresses: every lookup of its name returns all of them. */
import { LimitError } from "../errors.ts";

/** Generous: few hosts have that many interfaces to listen on. */
export const maxAddresses = 64;
/** Enough for any socket path, and for any host name with its port. */
export const maxAddressBytes = 512;
/** How many of them may come from one wildcard address. */
export const maxWildcardAddresses = 32;

/** @throws {LimitError} when there are more than 64 addresses, or one is longer than 512 bytes */
export function checkAddressLimits(addrs: readonly unknown[]): void {
  if (addrs.length > maxAddresses) {
    throw new LimitError(`an actor may have at most ${maxAddresses} addresses, got ${addrs.length}`);
  }
  for (const addr of addrs) {
    if (typeof addr !== "string" || addr.length * 3 <= maxAddressBytes) continue;
    const bytes = Buffer.byteLength(addr);
    if (bytes > maxAddressBytes) {
      throw new LimitError(`an address may have at most ${maxAddressBytes} B, got ${bytes}`);
    }
  }
}
