/** Registrars of several hosts that share a directory on etcd: each is a process, and each host a namespace. */
import { describe, expect, test } from "bun:test";

import { ClusterHost, lacksHosts } from "../support/cluster-host.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import type { Program } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;

describe.skipIf(lacksHosts !== undefined || lacksEtcd !== undefined)("two hosts with an etcd", () => {
  test("an actor that registers on one host is found by name and called from the other", async () => {
    await using etcd = await EtcdServers.start(1);
    await using a = new ClusterHost(etcd.urls);
    await using b = new ClusterHost(etcd.urls);
    const [onA, onB] = await Promise.all([a.actor("root-a"), b.actor("root-b")]);
    const worker = await a.actor("worker", { enableModules: [service] });
    const [id, host] = await worker.run(({ furrow }) => {
      const { id } = furrow.currentActor();
      return [id.uuid, id.host];
    });
    const found = await onB.run(async ({ furrow }) => {
      await using portal = await furrow.waitForActor<typeof import("../fixtures/service.ts")>("worker", {
        timeout: 5_000,
      });
      const { uuid, host } = portal.id;
      return { uuid, host, addr: portal.addr, sum: await portal.run.add(1, 2) };
    });
    expect(found).toMatchObject({ uuid: id, host, sum: 3 });
    expect(found.addr).toStartWith("tcp://");
    expect(host).not.toBe(await onB.run(({ furrow }) => furrow.currentActor().id.host));
    expect(await listed(onB)).toEqual(["root-a", "root-b", "worker"]);
    expect(await listed(onA)).toEqual(["root-a", "root-b", "worker"]);
  });
});

/** The names that the program's registrar lists. */
async function listed(program: Program): Promise<string[]> {
  return await program.run(async ({ furrow }) => {
    await using registry = await furrow.getRegistry();
    return (await registry.run.listActors()).map(({ id }) => id.name).toSorted();
  });
}
