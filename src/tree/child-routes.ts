/** What an actor and its children tell each other: routes their messages to the nurseries that own them, and names registrars to them. */
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import { encodeTargets, Registrars } from "../discovery/registrars.ts";
import type { Session } from "../rpc/session.ts";
import { Kind } from "../wire/messages.ts";
import type { ChildProcess } from "./child-process.ts";
import type { Member } from "./member.ts";
import { sendData } from "./start-data.ts";
import { type Steerable, steerables } from "./steerable.ts";

/** A nursery, as the messages of its children, and those who steer them, need it. */
export interface ChildOwner extends Steerable {
  /** The member whose running process has this uuid. */
  member(uuid: string): Member | undefined;
  /** The processes that are up, in the order of their first starts. */
  readonly started: readonly ChildProcess[];
}

const owners: Part<Set<ChildOwner>> = new Part();

/** Names each registrar that comes up to the children, so that they need not search for it. */
function tellOfRegistrars(runtime: Runtime, nurseries: ReadonlySet<ChildOwner>): void {
  const registrars = Registrars.of(runtime);
  let told = uuidsOf(registrars);
  registrars.watchChanges(() => {
    const now = uuidsOf(registrars);
    const isNews = !now.isSubsetOf(told);
    told = now;
    if (!isNews) return;
    const list = encodeTargets(registrars.targets());
    for (const { started } of nurseries)
      for (const { peer } of started) peer?.channel.post([Kind.registrars, list]);
  });
}

function uuidsOf(registrars: Registrars): Set<string> {
  return new Set(registrars.targets().map(({ uuid }) => uuid));
}

/** The open nurseries of an actor. The first call makes the actor route messages of its children. */
export function nurseriesOf(runtime: Runtime): Set<ChildOwner> {
  let open = owners.find(runtime);
  if (open === undefined) {
    open = new Set();
    owners.set(runtime, open);
    steerables.set(runtime, open);
    const all = open;
    runtime.drainChildren = async (deadline) => {
      const children = Array.from(all).flatMap(({ started }) => started);
      const uuids = children.map(({ id }) => id.uuid);
      await Promise.all(children.map((child) => child.drain(deadline.remainingMs, uuids)));
    };
    const memberOf = (session: Session): Member | undefined => {
      // a child connects before anyone else can know its uuid: a later connection with its uuid isn't the child
      if (runtime.peers.get(session.peer.id.uuid)?.handler !== session) return undefined;
      for (const nursery of open ?? []) {
        const member = nursery.member(session.peer.id.uuid);
        if (member?.process?.pid === session.peer.id.pid) return member;
      }
      return undefined;
    };
    const childOf = (session: Session): ChildProcess | undefined => memberOf(session)?.process;
    runtime.watchReady((session) => {
      const child = childOf(session);
      if (child === undefined) return;
      // it has registered with its parent's registrars
      session.peer.isVouched = true;
      child.onReady();
    });
    runtime.serve(Kind.stopping, (session, message) => childOf(session)?.onStopping(message[1]));
    runtime.serve(Kind.failed, (session, message) => childOf(session)?.onFailed(message[1]));
    runtime.serve(Kind.data, (session, [, id]) => sendData(session, id, memberOf(session)?.data));
    tellOfRegistrars(runtime, all);
  }
  return open;
}
