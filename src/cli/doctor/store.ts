/** Whether the registrar can reach the store that it shares with the registrars of other hosts. */
import { currentRuntime } from "../../actor/current.ts";
import { queryActor } from "../../discovery/query.ts";
import { Registrars } from "../../discovery/registrars.ts";
import { RegistryUnavailableError } from "../../errors.ts";
import type { Address } from "../../transport/address.ts";
import type { Finding } from "./finding.ts";

/** Of the registrar at `addr`, which this process's client is connected to. */
export async function findStoreFault(addr: Address): Promise<Finding[]> {
  try {
    // it says so ahead of its first answer
    await using _ = await queryActor("furrow doctor");
  } catch (error) {
    if (!(error instanceof RegistryUnavailableError)) throw error;
  }
  return Registrars.of(currentRuntime()).stalenesses.map(({ sinceMs, reason }) => ({
    code: "store-unreachable",
    level: "error",
    what: `the registrar is on its own: ${reason}, for ${Math.round((performance.now() - sinceMs) / 1_000)} s`,
    which: addr,
    whatToDo:
      "see that a majority of the store's servers runs, and that the registrar's cluster option names them; its log says more",
  }));
}
