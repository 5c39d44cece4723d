/** Outcomes of promises and iterations, as values to assert on. */

/** The error that a promise rejects with. Throws if it resolves. */
export async function failure(failing: PromiseLike<unknown>): Promise<Error> {
  try {
    await failing;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not fail");
}

/** Everything a source yields, and the error that it ends with. */
export async function drain<T>(source: AsyncIterable<T>): Promise<{ values: T[]; error?: Error }> {
  const values: T[] = [];
  try {
    for await (const value of source) values.push(value);
    return { values };
  } catch (error) {
    return { values, error: error as Error };
  }
}
