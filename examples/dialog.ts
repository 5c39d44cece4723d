/**
 * A dialog: the caller guesses a number, the callee answers each guess, and what its function returns ends the game. The
 * second game is left in the middle, which ends the callee's function too, clean-up included, before the block is left.
 *
 * Prints:
 *
 *     keeper: a number from 1 to 100
 *     50 is too small
 *     75 is too large
 *     62 is too small
 *     68 is too large
 *     65 is it, after 5 guesses
 *     keeper: a number from 1 to 1000
 *     500 is too large
 *     keeper: the player left, guesses: 1
 *     player: done
 */
import { type Context, openNursery } from "furrow";

type Game = Context<{ started: string; send: "too small" | "too large"; receive: number }>;
type Keeper = typeof import("./dialog.ts");

/** The callee's end. The types of the caller's end follow from its context. */
export async function keep(game: Game, secret: number, largest: number): Promise<number> {
  let guesses = 0;
  try {
    await game.started(`a number from 1 to ${largest}`);
    for await (const guess of game) {
      guesses++;
      if (guess === secret) return guesses;
      await game.send(guess < secret ? "too small" : "too large");
    }
    return guesses; // the player gave up: it called end()
  } finally {
    // true when the caller has cancelled, or is gone
    if (game.signal.aborted) console.log(`keeper: the player left, guesses: ${guesses}`);
  }
}

if (import.meta.main) {
  // a registry of its own, on a free port: the names here are nobody else's
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using keeper = await nursery.startActor<Keeper>("keeper", { module: import.meta.url });
  {
    await using game = await keeper.open.keep(65, 100);
    console.log("keeper:", game.started);
    let [low, high] = [1, 100];
    let guess = 50;
    await game.send(guess);
    // ends when the callee has returned
    for await (const hint of game) {
      console.log(guess, "is", hint);
      if (hint === "too small") low = guess + 1;
      else high = guess - 1;
      guess = Math.floor((low + high) / 2);
      await game.send(guess);
    }
    console.log(guess, "is it, after", await game.result, "guesses");
  }
  {
    await using game = await keeper.open.keep(65, 1000);
    console.log("keeper:", game.started);
    await game.send(500);
    for await (const hint of game) {
      console.log(500, "is", hint);
      break; // leaves the loop; the end of the block leaves the game
    }
  }
  console.log("player: done");
}
