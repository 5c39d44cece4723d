/** Reads `furrow.samples` of actors, time and again: over one dialog with each, which is opened when it's first needed. */
import { Deadline } from "../deadline.ts";
import { TransportClosedError } from "../errors.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Dialog, Portal } from "../rpc/types.ts";
import type { ActorReport } from "./sample.ts";

type TreeDialog = Dialog<undefined, ActorReport | null, number, void>;

export class TreeReader implements Disposable {
  readonly #connect: (key: string) => Promise<Portal>;
  readonly #dialogs = new Map<string, Promise<TreeDialog>>();

  /** `connect` opens a portal to an actor; the key is the caller's, a uuid say. */
  constructor(connect: (key: string) => Promise<Portal>) {
    this.#connect = connect;
  }

  /** Has the actor and those below it measure from now on, if it can be reached. */
  begin(key: string): void {
    this.#dialogWith(key).catch(() => {});
  }

  /** Leaves all other actors. */
  keep(keys: ReadonlySet<string>): void {
    for (const key of Array.from(this.#dialogs.keys())) if (!keys.has(key)) this.#leave(key);
  }

  /**
   * The reports of an actor and of those below it, the actor's own first. `answerMs`: how long they may take; `slackMs`: how much
   * longer to wait for them.
   *
   * @throws {TimeoutError} with stage "call" when they don't come in time
   * @throws {TransportClosedError} when the actor is gone
   * @throws what the actor refuses the dialog with
   */
  async read(key: string, answerMs: number, slackMs = 0): Promise<ActorReport[]> {
    const deadline = new Deadline({ timeout: answerMs + slackMs }, "samples of the tree");
    try {
      return await deadline.race("call", this.#ask(key, answerMs));
    } catch (error) {
      // what still comes belongs to no later request
      this.#leave(key);
      throw error;
    }
  }

  /** Ends the dialogs; the actors stop measuring if nobody else looks. */
  [Symbol.dispose](): void {
    this.keep(new Set());
  }

  async #ask(key: string, answerMs: number): Promise<ActorReport[]> {
    const dialog = await this.#dialogWith(key);
    await dialog.send(answerMs);
    const reports: ActorReport[] = [];
    for await (const report of dialog) {
      if (report === null) return reports;
      reports.push(report);
    }
    await dialog.result;
    throw new TransportClosedError("the actor has ended its samples");
  }

  #dialogWith(key: string): Promise<TreeDialog> {
    const known = this.#dialogs.get(key);
    if (known !== undefined) return known;
    // not of the call that runs here: a dialog that is left ends by itself
    const dialog = outsideTasks(() => this.#open(key));
    this.#dialogs.set(key, dialog);
    dialog.catch(() => {
      if (this.#dialogs.get(key) === dialog) this.#dialogs.delete(key);
    });
    return dialog;
  }

  async #open(key: string): Promise<TreeDialog> {
    await using portal = await this.#connect(key);
    return (await portal.open["furrow.samples"]()) as TreeDialog;
  }

  #leave(key: string): void {
    const dialog = this.#dialogs.get(key);
    this.#dialogs.delete(key);
    dialog?.then(
      (one) => one.cancel("not needed any more"),
      () => {},
    );
  }
}
