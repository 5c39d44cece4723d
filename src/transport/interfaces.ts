/** The addresses of this host's interfaces. Only actors that listen on a wildcard address load this. */
import { CString, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";

import { loadOs } from "./host.ts";
import { openLibc } from "./libc.ts";

/** One address of an interface, without its scope id. */
export interface InterfaceAddress {
  readonly device: string;
  readonly host: string;
}

/**
 * The addresses of all interfaces that are switched on, in the system's order. Those without a carrier count on Linux: when
 * the cable is plugged in again, or the access point is back, they work as before.
 */
export function interfaceList(): readonly InterfaceAddress[] {
  if (process.platform === "linux") return listed();
  // leaves out interfaces without a carrier
  return Object.entries(loadOs().networkInterfaces()).flatMap(([device, list]) =>
    (list ?? []).map(({ address }) => ({ device, host: address.split("%")[0]! })),
  );
}

const signatures = {
  getifaddrs: { args: ["ptr"], returns: "i32" },
  freeifaddrs: { args: ["ptr"], returns: "void" },
} as const;

let calls: ReturnType<typeof openLibc<typeof signatures>> | undefined;

const isUp = 1;
const inet = 2;
const inet6 = 10;
/** Where the fields of `struct ifaddrs` are on 64-bit systems, and the addresses in `struct sockaddr_in` and `_in6`. */
const at = { next: 0, name: 8, flags: 16, address: 24, inet: 4, inet6: 8 };

/** getifaddrs(3). */
function listed(): InterfaceAddress[] {
  calls ??= openLibc(signatures);
  const head = new BigUint64Array(1);
  if (calls.getifaddrs(ptr(head)) !== 0) return [];
  const first = Number(head[0]) as Pointer;
  const found: InterfaceAddress[] = [];
  try {
    for (let one = first; one !== 0; one = read.ptr(one, at.next) as Pointer) {
      const address = read.ptr(one, at.address) as Pointer;
      if (address === 0 || (read.u32(one, at.flags) & isUp) === 0) continue;
      const host = hostOf(address);
      if (host !== undefined) found.push({ device: new CString(read.ptr(one, at.name)).toString(), host });
    }
  } finally {
    calls.freeifaddrs(first);
  }
  return found;
}

function hostOf(address: Pointer): string | undefined {
  const family = read.u16(address, 0);
  if (family === inet) return new Uint8Array(toArrayBuffer(address, at.inet, 4)).join(".");
  if (family !== inet6) return undefined;
  const words = Array.from({ length: 8 }, (_, word) => {
    const offset = at.inet6 + 2 * word;
    return ((read.u8(address, offset) << 8) | read.u8(address, offset + 1)).toString(16);
  });
  // URLs write it in its shortest form
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1);
}
