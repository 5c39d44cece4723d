/** A registered actor as whoever looks it up has it, and where it can be dialled from here. */
import { FrameError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import {
  type Address,
  bestAddress,
  isAddress,
  localizeAddress,
  parseAddress,
  rankAddresses,
} from "../transport/address.ts";
import { hostId, isLoopback } from "../transport/host.ts";

export class Instance {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
  #best: Address | null | undefined;

  constructor(id: ActorId, addrs: readonly Address[]) {
    this.id = id;
    this.addrs = addrs;
  }

  /** The address to dial first, or null when there is none; worked out once, since a cached one is asked for again and again. */
  get best(): Address | null {
    if (this.#best === undefined)
      this.#best = (this.id.host === hostId() ? bestAddress(this.addrs) : this.dialOrder()[0]) ?? null;
    return this.#best;
  }

  /**
   * The addresses in the order of dialling. As `rankAddresses`, but the loopback of another host comes last: most likely
   * it is not this one's, and when the two only differ in a mount namespace it is.
   */
  dialOrder(): Address[] {
    // one that cannot be read is somebody else's fault, not the registrar's: the others may do
    const ranked = rankAddresses(this.addrs.filter(isAddress));
    if (this.id.host === hostId()) return ranked;
    const foreign = (addr: Address): boolean => {
      const parsed = parseAddress(addr);
      return parsed.transport === "tcp" && isLoopback(parsed.host);
    };
    return [...ranked.filter((addr) => !foreign(addr)), ...ranked.filter(foreign)];
  }
}

/**
 * An instance from a registrar's `[uuid, pid, host, addrs, revision]`, which it takes over.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeInstance(name: string, form: unknown): Instance {
  const fields = Array.isArray(form) ? (form as unknown[]) : [];
  const uuid = fields[0];
  const pid = fields[1];
  const host = fields[2];
  const addrs = fields[3];
  if (
    typeof uuid !== "string" ||
    typeof pid !== "number" ||
    typeof host !== "string" ||
    !Array.isArray(addrs) ||
    typeof fields[4] !== "number"
  ) {
    throw new FrameError(`malformed registration of "${name}" from a registrar`);
  }
  return new Instance({ name, uuid, pid, host }, localized(addrs));
}

function localized(addrs: unknown[]): Address[] {
  const own = hostId();
  for (let at = 0; at < addrs.length; at++) {
    const addr = addrs[at];
    if (typeof addr !== "string") return localized(addrs.filter((one) => typeof one === "string"));
    addrs[at] = localizeAddress(addr as Address, own);
  }
  return addrs as Address[];
}
