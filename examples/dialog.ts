/**
 * A dialog: the caller guesses a number, and the callee answers each guess. The game ends when the callee's function
 * returns. The player leaves the second game halfway; the callee's function ends too, including its clean-up, before
 * the player's program goes on.
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

/** The callee's end. Its context determines the types of the caller's end. */
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
    // aborted when the caller has cancelled the dialog or disconnected
    if (game.signal.aborted) console.log(`keeper: the player left, guesses: ${guesses}`);
  }
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using keeper = await nursery.startActor<Keeper>("keeper", { module: import.meta.url });
  {
    await using game = await keeper.open.keep(65, 100);
    console.log("keeper:", game.started);
    let [low, high] = [1, 100];
    let guess = 50;
    await game.send(guess);
    // the loop ends when the callee returns
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
      break; // leaves only the loop; the dialog ends with the block
    }
  }
  console.log("player: done");
}
