/** `furrow/metrics`: the metrics of a whole tree as text. */
import { describe, expect, test } from "bun:test";

import {
  findActor,
  NoRuntimeError,
  openClient,
  openNursery,
  PermissionDeniedError,
} from "../../src/index.ts";
import { currentRuntime } from "../../src/actor/current.ts";
import { metricsText, serveMetrics } from "../../src/metrics.ts";
import { type MetricFamily, parseMetrics } from "../support/metrics.ts";
import { failure } from "../support/outcome.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/measured.ts", import.meta.url);
type Measured = typeof import("../fixtures/measured.ts");
const nests = new URL("../fixtures/nests.ts", import.meta.url);
type Nests = typeof import("../fixtures/nests.ts");

type Labels = Readonly<Record<string, string>>;

/** The value of the one sample with these labels, beside others. */
function valueOf(families: Map<string, MetricFamily>, name: string, labels: Labels): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(count|sum|bucket)$/, ""));
  const found = family?.samples.filter(
    (one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value),
  );
  if (found !== undefined && found.length > 1)
    throw new Error(`${name} of ${JSON.stringify(labels)} isn't one`);
  return found?.[0]?.value;
}

function actorsOf(families: Map<string, MetricFamily>, name: string): string[] {
  return (families.get(name)?.samples ?? []).map(({ labels }) => labels["actor"] ?? "").toSorted();
}

describe("metricsText", () => {
  test("has the whole tree, from the root down, from whichever of its actors it's asked", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "shop" });
    const middle = await nursery.startActor<Nests>("middle", { module: nests });
    await middle.run.startBelow("leaf");
    const first = parseMetrics(await metricsText());
    expect(actorsOf(first, "furrow_actor_up")).toEqual(["leaf", "middle", "shop"]);
    expect(valueOf(first, "furrow_registry_actors", { actor: "shop" })).toBe(3);
    await middle.run.callBelow(5);
    for (const text of [await metricsText(), await middle.run.metrics()]) {
      const families = parseMetrics(text);
      expect(actorsOf(families, "process_resident_memory_bytes")).toEqual(["leaf", "middle", "shop"]);
      expect(valueOf(families, "process_cpu_seconds_total", { actor: "leaf" })).toBeGreaterThan(0);
      expect(
        valueOf(families, "furrow_bytes_total", { actor: "leaf", direction: "received" }),
      ).toBeGreaterThan(0);
      expect(text).not.toContain(middle.id.uuid);
    }
    const families = parseMetrics(await metricsText());
    const leaf = { actor: "leaf", method: "add" };
    expect(valueOf(families, "furrow_server_call_duration_seconds_count", leaf)).toBe(5);
    expect(
      valueOf(families, "furrow_client_call_duration_seconds_count", { ...leaf, caller: "middle" }),
    ).toBe(5);
    expect(valueOf(families, "furrow_server_calls_in_flight", leaf)).toBe(0);
    const failed = { actor: "leaf", method: "fail", code: "ERR_REMOTE_ACTOR" };
    expect(valueOf(families, "furrow_server_call_errors_total", failed)).toBe(1);
    expect(valueOf(families, "furrow_client_call_errors_total", { ...failed, caller: "middle" })).toBe(1);
    const items = { method: "ticks", direction: "sent" };
    expect(valueOf(families, "furrow_stream_items_total", { ...items, actor: "leaf" })).toBe(10);
  });

  test("goes on counting when an actor is restarted, and says how often it was", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, strategy: "one-for-one" });
    const portal = await nursery.startActor<Measured>("market", {
      module,
      restart: { when: "always", backoffMs: [0, 0] },
    });
    await metricsText();
    for (let n = 0; n < 3; n++) await portal.run.add(1, 1);
    const add = { actor: "market", method: "add" };
    const calls = async (): Promise<number | undefined> =>
      valueOf(parseMetrics(await metricsText()), "furrow_server_call_duration_seconds_count", add);
    expect(await calls()).toBe(3);
    process.kill(portal.id.pid, "SIGKILL");
    await until(() => nursery.children[0]?.restarts === 1 && nursery.children[0].state === "ready");
    expect(await calls()).toBe(3);
    await using again = await findActor<Measured>("market", { raiseOnNone: true });
    await again.run.add(1, 1);
    expect(await calls()).toBe(4);
    const families = parseMetrics(await metricsText());
    expect(valueOf(families, "furrow_actor_restarts_total", { actor: "market" })).toBe(1);
    expect(valueOf(families, "furrow_actor_up", { actor: "market" })).toBe(1);
  });

  test("adds up actors of one name, and shows one that doesn't answer as down", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = () => nursery.startActor<Measured>("worker", { module });
    const [one, other] = await Promise.all([start(), start()]);
    expect(valueOf(parseMetrics(await metricsText()), "furrow_actor_up", { actor: "worker" })).toBe(2);
    await one.run.add(1, 1);
    await other.run.add(1, 1);
    const add = { actor: "worker", method: "add" };
    const families = parseMetrics(await metricsText());
    expect(valueOf(families, "furrow_server_call_duration_seconds_count", add)).toBe(2);
    process.kill(other.id.pid, "SIGSTOP");
    const frozen = parseMetrics(await metricsText());
    process.kill(other.id.pid, "SIGCONT");
    expect(valueOf(frozen, "furrow_actor_up", { actor: "worker" })).toBe(1);
    // what it had counted stays
    expect(valueOf(frozen, "furrow_server_call_duration_seconds_count", add)).toBe(2);
    expect(valueOf(parseMetrics(await metricsText()), "furrow_actor_up", { actor: "worker" })).toBe(2);
  });

  test("stops measuring when nobody has asked for a while", async () => {
    using _ = setTiming({ metricsLapseMs: 50 });
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Measured>("child", { module });
    await metricsText();
    expect(currentRuntime().observer).toBeDefined();
    await until(() => currentRuntime().observer === undefined);
    await until(async () => !(await portal.run.isObserved()));
  });

  test("has every tree of the registry in a client, and one whose root doesn't answer as down", async () => {
    await using world = new World();
    const shop = await world.actor("shop", { enableModules: [nests.href] });
    const bank = await world.actor("bank", { enableModules: [module.href] });
    await using client = await openClient({ registryAddrs: world.registryAddrs });
    await using portal = await findActor<Nests>("shop", { raiseOnNone: true });
    await portal.run.startBelow("leaf");
    expect(actorsOf(parseMetrics(await metricsText()), "furrow_actor_up")).toEqual(["bank", "leaf", "shop"]);
    await portal.run.callBelow(5);
    await using account = await findActor<Measured>("bank", { raiseOnNone: true });
    await account.run.add(1, 1);
    const calls = "furrow_server_call_duration_seconds_count";
    const families = parseMetrics(await metricsText());
    expect(valueOf(families, calls, { actor: "leaf", method: "add" })).toBe(5);
    expect(valueOf(families, calls, { actor: "bank", method: "add" })).toBe(1);
    // which is the registrar as well
    await shop.freeze();
    using _ = setTiming({ collectMs: 500 });
    const frozen = parseMetrics(await metricsText());
    shop.signal("SIGCONT");
    expect(valueOf(frozen, "furrow_actor_up", { actor: "shop" })).toBe(0);
    expect(valueOf(frozen, "furrow_actor_up", { actor: "bank" })).toBe(1);
    await bank.kill();
    await until(
      async () =>
        valueOf(parseMetrics(await metricsText()), "furrow_actor_up", { actor: "bank" }) === undefined,
    );
    await client.close();
  });

  test("leaves out a tree whose policy doesn't allow it in a client, and fails if none does", async () => {
    await using world = new World();
    const policy = [{ from: "*", call: ["add"] }];
    await world.actor("bank", { security: { policy } });
    await using _ = await openClient({ registryAddrs: world.registryAddrs });
    expect(await failure(metricsText())).toBeInstanceOf(PermissionDeniedError);
    await world.actor("shop");
    expect(actorsOf(parseMetrics(await metricsText()), "furrow_actor_up")).toEqual(["shop"]);
  });

  test("needs an actor or a client", async () => {
    expect(await failure(metricsText())).toBeInstanceOf(NoRuntimeError);
  });
});

describe("serveMetrics", () => {
  test("serves every tree of the registry in a client, until that is closed", async () => {
    await using world = new World();
    await world.actor("shop", { enableModules: [module.href] });
    await using client = await openClient({ registryAddrs: world.registryAddrs });
    const { url } = await serveMetrics({ port: 0 });
    const families = parseMetrics(await (await fetch(url)).text());
    expect(actorsOf(families, "furrow_actor_up")).toEqual(["shop"]);
    await using portal = await findActor<Measured>("shop", { raiseOnNone: true });
    expect(await portal.run.isObserved()).toBeTrue();
    await client.close();
    expect(await failure(fetch(url))).toBeInstanceOf(Error);
    await using again = await openClient({ registryAddrs: world.registryAddrs });
    await using other = await findActor<Measured>("shop", { raiseOnNone: true });
    await until(async () => !(await other.run.isObserved()));
    await again.close();
  });

  test("serves the format that is asked for, and measures until it is disposed", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Measured>('a "quoted" \\ name', { module });
    {
      await using server = await serveMetrics({ port: 0 });
      expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
      for (let n = 0; n < 2; n++) await portal.run.add(1, 1);
      const plain = await fetch(server.url);
      expect(plain.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
      const add = { actor: portal.id.name, method: "add" };
      const name = "furrow_server_call_duration_seconds_count";
      expect(valueOf(parseMetrics(await plain.text()), name, add)).toBe(2);
      const accept =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
      const open = await fetch(server.url, { headers: { accept } });
      expect(open.headers.get("content-type")).toBe(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
      );
      expect(valueOf(parseMetrics(await open.text(), true), name, add)).toBe(2);
      expect((await fetch(server.url.replace("/metrics", "/"))).status).toBe(404);
      expect((await fetch(server.url, { method: "POST" })).status).toBe(405);
      expect(await portal.run.isObserved()).toBeTrue();
    }
    await until(async () => !(await portal.run.isObserved()));
  });

  test("measures an actor that starts later from its start on", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await using _ = await serveMetrics({ port: 0 });
    const portal = await nursery.startActor<Measured>("late", { module });
    // without a scrape
    await until(() => portal.run.isObserved());
  });

  test("ends with its actor", async () => {
    await using world = new World();
    const nursery = await openNursery(world.options);
    const { url } = await serveMetrics({ port: 0 });
    expect((await fetch(url)).status).toBe(200);
    await nursery[Symbol.asyncDispose]();
    await until(async () => {
      try {
        await fetch(url);
        return false;
      } catch {
        return true;
      }
    });
  });
});
