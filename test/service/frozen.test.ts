/** An instance that is frozen is left alone until it speaks again. */
import { describe, expect, test } from "bun:test";

import { ActorNotFoundError, openRootActor, openService, type Service } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { type Served, Stage } from "../support/served.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const served = new URL("../fixtures/served.ts", import.meta.url).href;

/** Whether two calls in a row are answered, and by whom: with two instances in use each gets one of them. */
async function answersOfTwo(service: Service<Served>, pending: Promise<string>[]): Promise<string[]> {
  const calls = [service.run.who(), service.run.who()];
  pending.push(...calls);
  const answered = await Promise.race([Promise.all(calls), Bun.sleep(50)]);
  return answered ?? [];
}

/** Resolves when calls go to that instance alone. */
async function untilAlone(service: Service<Served>, uuid: string, pending: Promise<string>[]): Promise<void> {
  await until(async () => {
    const answers = await answersOfTwo(service, pending);
    return answers.length === 2 && answers.every((one) => one === uuid);
  }, 10_000);
}

describe("a frozen instance", () => {
  test("is left alone while it is silent, keeps what it has, and gets calls again when it speaks", async () => {
    using _ = setTiming({ silenceCheckMs: 20 });
    await using stage = await Stage.open();
    const [one, two] = [await stage.start("w"), await stage.start("w")];
    await using service = await openService<Served>("w");
    const pending: Promise<string>[] = [];
    expect(new Set(await answersOfTwo(service, pending))).toEqual(new Set([one.id.uuid, two.id.uuid]));
    process.kill(one.id.pid, "SIGSTOP");
    await untilAlone(service, two.id.uuid, pending);
    for (let at = 0; at < 20; at++) expect(await service.run.who()).toBe(two.id.uuid);
    // it is registered
    expect(service.instances).toHaveLength(2);
    process.kill(one.id.pid, "SIGCONT");
    const answers = await Promise.all(pending);
    expect(answers).toContain(one.id.uuid);
    await until(async () => (await answersOfTwo(service, pending)).includes(one.id.uuid));
  });

  test("that was never connected costs a caller a moment, the next ones nothing, and is tried in the background", async () => {
    await using world = new World();
    await world.actor("hub");
    const frozen = await world.actor("w", { enableModules: [served] });
    const two = await world.actor("w", { enableModules: [served] });
    const uuid = await two.run(({ furrow }) => furrow.currentActor().uuid);
    await using _ = await openRootActor(world.options);
    await using service = await openService<Served>("w");
    await frozen.freeze();
    for (let at = 0; at < 20; at++) expect(await service.run.who()).toBe(uuid);
    frozen.signal("SIGCONT");
    const pending: Promise<string>[] = [];
    await until(async () => new Set(await answersOfTwo(service, pending)).size === 2, 10_000);
  }, 20_000);

  test("that is the only one makes a call wait for waitMs, and the error says so", async () => {
    using _ = setTiming({ silenceCheckMs: 20 });
    await using stage = await Stage.open();
    const { id } = await stage.start("w");
    await using service = await openService<Served>("w", { waitMs: 200 });
    await service.run.who();
    process.kill(id.pid, "SIGSTOP");
    const stuck = service.run.who();
    // one that begins while it counts as an instance waits there
    const errors: Promise<Error>[] = [];
    const rest: Promise<string>[] = [stuck];
    await until(async () => {
      const call = service.run.who();
      rest.push(call);
      const error = failure(call);
      errors.push(error.catch(() => new Error("answered")));
      return (await Promise.race([error, Bun.sleep(300)])) instanceof ActorNotFoundError;
    });
    const [error] = (await Promise.all(errors.slice(-1))) as [Error];
    expect(error.message).toBe(
      `no instance of "w" to call within 200 ms: w#${id.uuid.slice(0, 8)} doesn't answer: it may be frozen`,
    );
    process.kill(id.pid, "SIGCONT");
    expect(await stuck).toBe(id.uuid);
    await until(async () => (await service.run.who().catch(() => "")) === id.uuid);
    await Promise.allSettled(rest);
  });

  test("may also be one that computes: it isn't lost, and answers when it is done", async () => {
    using _ = setTiming({ silenceCheckMs: 20 });
    await using stage = await Stage.open();
    const [one, two] = [await stage.start("w"), await stage.start("w")];
    await using service = await openService<Served>("w");
    const pending: Promise<string>[] = [];
    await answersOfTwo(service, pending);
    const busy = one.run.spin(1_000);
    await untilAlone(service, two.id.uuid, pending);
    await busy;
    await until(async () => (await answersOfTwo(service, pending)).includes(one.id.uuid));
    expect(await Promise.all(pending)).toContain(one.id.uuid);
  });
});
