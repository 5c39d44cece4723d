/**
 * An error that arises three actors away. It arrives with the way that it took, the stack of the place where it arose,
 * its causes, and as an instance of its own class; the actors in between do nothing for that.
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

// where this is not said, it arrives as a plain Error of that name
registerError(PaymentError);

/** The bank's part. */
export function charge(amount: number): void {
  const limit = new RangeError("the limit is 4 EUR", { cause: new TypeError("there is no contract") });
  throw new PaymentError(`${amount} EUR is too much`, amount, { cause: limit });
}

/** The part of those before it. */
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
  // a registry of its own, on a free port: the names here are nobody else's
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
