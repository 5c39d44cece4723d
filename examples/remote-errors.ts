/**
 * An error thrown three actors away. It arrives as an instance of its own class, with its causes, its original stack
 * and the path that it took. The actors in between don't have to do anything for that.
 *
 * Prints:
 *
 *     PaymentError: 5 EUR is too much, of 5 EUR, an instance of its class: true
 *     came through: bank > cashier > till
 *     was thrown by: charge
 *     caused by: RangeError: the limit is 4 EUR
 *     caused by: TypeError: there is no contract
 */
import { findActor, openNursery, registerError, RemoteActorError } from "furrow";

type Actors = typeof import("./remote-errors.ts");

class PaymentError extends Error {
  readonly amount: number;

  constructor(message: string, amount: number, options: ErrorOptions) {
    super(message, options);
    this.name = "PaymentError";
    this.amount = amount;
  }
}

// without this, it would arrive as a plain Error with that name
registerError(PaymentError);

/** Runs in the bank. */
export function charge(amount: number): void {
  const limit = new RangeError("the limit is 4 EUR", { cause: new TypeError("there is no contract") });
  throw new PaymentError(`${amount} EUR is too much`, amount, { cause: limit });
}

/** Runs in each actor on the path: forwards the call, or charges if it's the last one. */
export async function forward(amount: number, [next, ...others]: string[]): Promise<void> {
  if (next === undefined) return charge(amount);
  await using actor = await findActor<Actors>(next, { raiseOnNone: true });
  await actor.run.forward(amount, others);
}

function report(error: RemoteActorError): void {
  const { cause, relayPath, remoteStack } = error;
  if (!(cause instanceof PaymentError)) throw error;
  console.log(`${cause}, of ${cause.amount} EUR, an instance of its class: true`);
  console.log("came through:", relayPath.map(({ name }) => name).join(" > "));
  console.log("was thrown by:", /at (\w+)/.exec(remoteStack)?.[1]);
  for (let deeper = cause.cause; deeper instanceof Error; deeper = deeper.cause) {
    console.log(`caused by: ${deeper}`);
  }
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await Promise.all(["bank", "cashier"].map((name) => nursery.startActor(name, { module: import.meta.url })));
  await using till = await nursery.startActor<Actors>("till", { module: import.meta.url });
  try {
    await till.run.forward(5, ["cashier", "bank"]);
  } catch (error) {
    if (!(error instanceof RemoteActorError)) throw error;
    report(error);
  }
}
