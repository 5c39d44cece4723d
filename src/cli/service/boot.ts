/** The options with which a command that is an actor itself boots. */
import type { RootOptions } from "../../tree/root-options.ts";
import type { AddressInput } from "../../transport/address.ts";
import type { CommandContext } from "../command.ts";

/** Its signals end the command, which ends the actor. */
export function bootOptions(
  { security, signal }: Pick<CommandContext, "security" | "signal">,
  addrs: readonly string[] | undefined,
): RootOptions {
  return {
    handleSignals: false,
    signal,
    ...(addrs !== undefined && { registryAddrs: addrs as readonly AddressInput[] }),
    ...(security && { security }),
  };
}
