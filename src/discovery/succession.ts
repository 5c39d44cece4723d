/** Who may publish for a host that someone publishes for already: pure. */
import { HostTakenError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { HostRecord } from "./store.ts";

/**
 * A registrar succeeds the one before it in the same registry, because it could become one only when that was dead.
 * `isOurs`: the host was ours a moment ago. Then whoever has it now isn't a successor, since we live: it is another machine that
 * takes itself for this one.
 *
 * @throws {HostTakenError} if the host belongs to someone else
 */
export function checkSuccession(host: HostRecord, former: HostRecord, isOurs: boolean): void {
  const { registrar, registry } = former;
  const isTwin = isOurs && registrar.uuid !== host.registrar.uuid;
  if (registry === host.registry && !isTwin) return;
  const who = `host ${host.host} belongs to ${describeActor(registrar)} (pid ${registrar.pid}), the registrar at ${registry}`;
  const hint = isTwin ? ", perhaps on another machine with the same machine id" : "";
  throw new HostTakenError(`${who}${hint}`, registrar);
}
