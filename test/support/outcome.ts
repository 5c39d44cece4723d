/** How something ended, as a value to look at. */

/** What a promise rejects with. Throws when it does not. */
export async function failure(failing: PromiseLike<unknown>): Promise<Error> {
  try {
    await failing;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not fail");
}

/** All that a source gives, and the error that it ends with. */
export async function drain<T>(source: AsyncIterable<T>): Promise<{ values: T[]; error?: Error }> {
  const values: T[] = [];
  try {
    for await (const value of source) values.push(value);
    return { values };
  } catch (error) {
    return { values, error: error as Error };
  }
}
