/**
 * This process as an actor, its registrar, and an actor named "target". The other two run in processes of their own,
 * each behind a relay. A peer registers the target with its uuid and the relay's address.
 */
import { join } from "node:path";

import { getRegistry, openRootActor } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer } from "./raw-peer.ts";
import { type Passed, Relay } from "./relay.ts";
import { World } from "./world.ts";

/** The target's functions. */
const counted = new URL("../fixtures/counted.ts", import.meta.url);

export interface Scene extends AsyncDisposable {
  readonly registrar: Relay;
  readonly target: Relay;
  /** The traffic with the registrar since the last call, once both sides have nothing more to send. */
  passed(): Promise<Passed>;
}

export async function openScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const [world, elsewhere] = [stack.use(new World()), stack.use(new World())];
  await world.actor("hub");
  const actor = await elsewhere.actor("target", { enableModules: [counted.href] });
  const uuid = await actor.run(({ furrow }) => furrow.currentActor().uuid);
  const registrar = stack.use(await Relay.open(world.unix, join(world.dir, "hub.sock")));
  const target = stack.use(await Relay.open(elsewhere.unix, join(world.dir, "target.sock")));
  const addrs = [target.addr];
  const registrant = stack.use(await RawPeer.connect(world.unix, { name: "target", uuid, addrs }));
  registrant.send([Kind.register, 1, addrs]);
  await registrant.take(Kind.result);
  stack.use(await openRootActor({ name: "asker", registryAddrs: [registrar.addr] }));
  const registry = stack.use(await getRegistry());
  const passed = async (): Promise<Passed> => {
    // everything sent before this call has arrived when it is answered
    await registry.run.findActor("nobody");
    const { there, back } = registrar.take();
    there.messages.pop();
    back.messages.pop();
    return { there, back };
  };
  await passed();
  const moved = stack.move();
  return { registrar, target, passed, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

const nameOfKind = new Map<unknown, string>(Object.entries(Kind).map(([name, kind]) => [kind, name]));

/** The kinds of the messages, in order. */
export function kinds({ there, back }: Passed): { there: string[]; back: string[] } {
  const names = ({ messages }: Passed["there"]): string[] =>
    messages.map(([kind]) => nameOfKind.get(kind) ?? String(kind));
  return { there: names(there), back: names(back) };
}
