/** How the page looks at one actor: scripted actors, which answer when the test says so. */
import { describe, expect, test } from "bun:test";

import { openRootActor, type Registration } from "../../src/index.ts";
import { Probe, type ProbeHost } from "../../src/page/probe.ts";
import { Turns } from "../../src/page/turns.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawInstance } from "../support/raw-instances.ts";
import { until } from "../support/world.ts";

const everyMs = 60_000;

function registrationOf({ uuid, addr }: RawInstance): Registration {
  const id = { name: "looked-at", uuid, pid: process.pid, host: hostId() };
  const addrs = [addr];
  const details = { version: null, metadata: {}, parent: null, startedAt: 0, functions: [] };
  return { id, addrs, revision: 1, ...details, state: "ready" };
}

/** A host that keeps what it is told. */
function keeper(turns: Turns): ProbeHost & { readonly samples: unknown[] } {
  const samples: unknown[] = [];
  return { turns, samples, onSample: (sample) => samples.push(sample), onTrouble: () => {} };
}

describe("a probe", () => {
  test("keeps its turn until the first sample is here, and not for longer when it looks at another interval", async () => {
    await using _actor = await openRootActor();
    await using one = new RawInstance("looked-at");
    await using two = new RawInstance("looked-at");
    const host = keeper(new Turns(1));
    const [first, second] = [one, two].map(
      (instance) => new Probe(registrationOf(instance), everyMs, host),
    ) as [Probe, Probe];
    const [, stream] = await one.take(Kind.stream);
    // long enough for another one to be dialled
    await Bun.sleep(100);
    expect(two.peers.length).toBe(0);
    (await one.peer()).send([Kind.item, stream, { n: 1 }]);
    const [, other] = await two.take(Kind.stream);
    expect(host.samples).toEqual([{ n: 1 }]);
    first.pace(everyMs / 2);
    const [, again] = await one.take(Kind.stream);
    (await one.peer()).send([Kind.item, again, { n: 2 }]);
    (await two.peer()).send([Kind.item, other, { n: 3 }]);
    await until(() => host.samples.length === 3);
    // the first stream is left once the second one has brought a sample
    expect((await one.take(Kind.cancel)).slice(0, 2)).toEqual([Kind.cancel, stream]);
    for (const [id, instance] of [
      [stream, one],
      [again, one],
      [other, two],
    ] as const)
      (await instance.peer()).send([Kind.result, id]);
    await Promise.all([first.end(), second.end()]);
  });

  test("gives its turn up to the next one when the actor is silent, and goes on waiting for it", async () => {
    await using _actor = await openRootActor();
    await using silent = new RawInstance("looked-at");
    await using other = new RawInstance("looked-at");
    const host = keeper(new Turns(1));
    const [first, second] = [silent, other].map(
      (instance) => new Probe(registrationOf(instance), everyMs, host),
    ) as [Probe, Probe];
    const [, stream] = await silent.take(Kind.stream);
    const [, next] = await other.take(Kind.stream);
    (await silent.peer()).send([Kind.item, stream, { n: 1 }]);
    await until(() => host.samples.length === 1);
    (await silent.peer()).send([Kind.result, stream]);
    (await other.peer()).send([Kind.result, next]);
    await Promise.all([first.end(), second.end()]);
  });
});
