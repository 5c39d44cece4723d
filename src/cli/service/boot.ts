/** The options with which a command that is an actor itself boots. */
import type { RootOptions } from "../../tree/root-options.ts";
import type { AddressInput } from "../../transport/address.ts";
import type { CommandContext } from "../command.ts";

/** Its signals end the command, which ends the actor. */
export function bootOptions(
  { flags, signal }: Pick<CommandContext, "flags" | "signal">,
  addrs: readonly string[] | undefined,
): RootOptions {
  const file = flags["token-file"] as string | undefined;
  return {
    handleSignals: false,
    signal,
    ...(addrs !== undefined && { registryAddrs: addrs as readonly AddressInput[] }),
    ...(file !== undefined && { security: { secret: { file } } }),
  };
}
