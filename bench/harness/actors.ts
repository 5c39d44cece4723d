/** Actors that exist only in a table. */
import type { ActorId, Address } from "../../src/index.ts";

const scratch = Buffer.alloc(256);

/** Copies the text into new memory, as a decoder does: not a rope, and not shared. */
export function fresh(text: string): string {
  return scratch.toString("latin1", 0, scratch.write(text, "latin1"));
}

/** What a registrar learns about actor number `n` of a host. */
export function registrant(
  n: number,
  host: string = "0123456789abcdef",
): { readonly id: ActorId; readonly addrs: Address[] } {
  return {
    id: {
      name: fresh(`actor-${n}`),
      uuid: fresh(`${n.toString(16).padStart(8, "0")}-89ab-4cde-8f01-23456789abcd`),
      pid: n,
      host: fresh(host),
    },
    addrs: [
      fresh(`unix://${host}/run/user/1000/furrow/actor-${n}@${n}.sock`) as Address,
      fresh(`tcp://127.0.0.1:${n % 65_536}`) as Address,
    ],
  };
}
