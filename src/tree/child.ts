/**
 * The main file of a child process. No other file imports it: what does would wait for the start of the actor, which may be
 * loading just that.
 *
 * When its main file has been evaluated, Bun collects garbage. That takes 2 ms, a tenth of a start (row `spawn.packed`), so this
 * file waits until the actor has started, and its first calls have had their time.
 */
import { runChild } from "./child-main.ts";

/** How long the first calls have. */
const firstCallsMs = 100;

await runChild();
await Bun.sleep(firstCallsMs);
