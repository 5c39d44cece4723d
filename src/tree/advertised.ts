/** What the actors of a tree advertise: the option, the environment, and what children inherit. */
import { AddressError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Address, Transport } from "../transport/address.ts";
import { checkAdvertised, hostsAmong, readAdvertised } from "../transport/advertise.ts";

const log = logger("tree");
const variable = "FURROW_ADVERTISE";

/**
 * What a root advertises: `advertiseAddrs`, or what the environment says. `bound`: the addresses that it may bind.
 *
 * @throws {AddressError} when one is malformed, can't be dialled, or needs what isn't bound
 */
export function advertisedByRoot(
  option: readonly string[] | undefined,
  transports: readonly Transport[],
  bound: readonly Address[],
): readonly Address[] {
  if (option !== undefined) {
    const advertised = advertisedBy(option, transports);
    checkAdvertised("advertiseAddrs", advertised, bound);
    return advertised;
  }
  const parts = (process.env[variable] ?? "").split(",").map((part) => part.trim());
  const advertised = readAdvertised(
    variable,
    parts.filter((part) => part !== ""),
  );
  // the variable may be meant for other programs, too
  if (!transports.includes("tcp")) return [];
  try {
    checkAdvertised(variable, advertised, bound);
  } catch (error) {
    log.warn?.((error as AddressError).message);
  }
  return advertised;
}

/** @throws {AddressError} as `advertisedByRoot` */
function advertisedBy(option: readonly string[], transports: readonly Transport[]): readonly Address[] {
  const advertised = readAdvertised("advertiseAddrs", option);
  if (advertised.length === 0 || transports.includes("tcp")) return advertised;
  throw new AddressError(
    `advertiseAddrs has ${advertised[0]}, but enableTransports is ${JSON.stringify(transports)}: enable tcp, or drop the address`,
  );
}

/**
 * What a child advertises: its own option, or the hosts that its parent advertises. The ports of its parent are not its own.
 *
 * @throws {AddressError} as `advertisedByRoot`
 */
export function advertisedByChild(
  option: readonly string[] | undefined,
  transports: readonly Transport[],
  inherited: readonly Address[],
): readonly Address[] {
  return option === undefined ? hostsAmong(inherited) : advertisedBy(option, transports);
}
