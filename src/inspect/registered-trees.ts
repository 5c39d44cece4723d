/** The samples of every tree in the registry: what a client, which belongs to none of them, can ask for. */
import { Deadline } from "../deadline.ts";
import { reachRegistered } from "../discovery/reach.ts";
import type { Registration } from "../discovery/registration.ts";
import { listOnce } from "../discovery/watch-actors.ts";
import { PermissionDeniedError, TimeoutError, TransportClosedError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Portal } from "../rpc/types.ts";
import type { ActorReport } from "./sample.ts";
import { TreeReader } from "./tree-reader.ts";

export class RegisteredTrees implements Disposable {
  #roots: ReadonlyMap<string, Registration> = new Map();
  readonly #reader = new TreeReader((uuid) => this.#connect(uuid));

  /**
   * Of all roots, with what is below each. One that doesn't answer is reported without a sample; one whose policy doesn't allow it
   * is left out. While no registrar answers, the roots are those of the last time.
   *
   * @throws {TimeoutError} with stage "lookup" when no registrar answers the first time
   * @throws {PermissionDeniedError} when no root's policy allows it
   */
  async read(answerMs: number, slackMs: number): Promise<ActorReport[]> {
    try {
      this.#roots = await rootsOf(answerMs);
    } catch (error) {
      if (this.#roots.size === 0) throw error;
    }
    this.#reader.keep(new Set(this.#roots.keys()));
    const asked = Array.from(this.#roots.values(), (root) => this.#ask(root, answerMs, slackMs));
    const answers = await Promise.all(asked);
    const denied = answers.filter((answer) => answer instanceof PermissionDeniedError);
    if (denied.length > 0 && denied.length === answers.length) throw denied[0]!;
    return answers.flatMap((answer) => (answer instanceof PermissionDeniedError ? [] : answer));
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }

  async #ask(
    { id }: Registration,
    answerMs: number,
    slackMs: number,
  ): Promise<ActorReport[] | PermissionDeniedError> {
    try {
      return await this.#reader.read(id.uuid, answerMs, slackMs);
    } catch (error) {
      if (error instanceof PermissionDeniedError) return error;
      return [{ id, restarts: 0, sample: null }];
    }
  }

  async #connect(uuid: string): Promise<Portal> {
    const root = this.#roots.get(uuid);
    const portal = root && (await reachRegistered(root, {}));
    if (root === undefined || portal === undefined)
      throw new TransportClosedError(`${root === undefined ? uuid : describeActor(root.id)} is gone`);
    return portal;
  }
}

/** The roots that are registered, by their uuids. */
async function rootsOf(withinMs: number): Promise<Map<string, Registration>> {
  const deadline = new Deadline({ timeout: withinMs }, "list of the roots");
  const over = new AbortController();
  try {
    const actors = await deadline.race("lookup", listOnce("*", over.signal));
    const roots = actors.filter(({ parent }) => parent === null);
    return new Map(roots.map((root) => [root.id.uuid, root]));
  } finally {
    over.abort(new TimeoutError("lookup", "the registrar didn't list its actors in time"));
  }
}
