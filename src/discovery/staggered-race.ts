/** Trying several instances of a name, so that one that is silent doesn't cost its whole time limit. */

/** How long an instance may be silent before the next one is tried beside it. A healthy one answers in a few ms. */
const silentMs = 200;

/**
 * The first attempt that gives a value, in the order of the list as far as it is not slowed down: the next attempt begins
 * when one has failed, or has been silent for a while. Undefined when all give undefined.
 *
 * An attempt that rejects counts as failed when `isPassable` says so; the first such error is thrown when nothing else
 * was found. What comes too late is given to `discard`. After RFC 8305 ("happy eyeballs").
 */
export function firstReachable<T, C>(
  candidates: readonly C[],
  attempt: (candidate: C) => Promise<T | undefined>,
  isPassable: (error: unknown) => boolean,
  discard: (value: T) => void,
): Promise<T | undefined> {
  const [only] = candidates;
  if (only === undefined) return Promise.resolve(undefined);
  if (candidates.length === 1) return attempt(only);
  return new Promise((resolve, reject) => {
    let begun = 0;
    let running = 0;
    let isOver = false;
    let failure: { readonly error: unknown } | undefined;
    let timer: Timer | undefined;
    const end = (settle: () => void): void => {
      isOver = true;
      clearTimeout(timer);
      settle();
    };
    const onFailure = (error?: { readonly error: unknown }): void => {
      running--;
      failure ??= error;
      if (!isOver) begin();
    };
    const run = async (candidate: C): Promise<void> => {
      try {
        const value = await attempt(candidate);
        if (value === undefined) onFailure();
        else if (isOver) discard(value);
        else end(() => resolve(value));
      } catch (error) {
        if (isOver || isPassable(error)) onFailure({ error });
        else end(() => reject(error));
      }
    };
    const begin = (): void => {
      clearTimeout(timer);
      if (begun < candidates.length) {
        const candidate = candidates[begun++] as C;
        running++;
        void run(candidate);
        if (begun < candidates.length && !isOver) timer = setTimeout(begin, silentMs);
      } else if (running === 0) {
        const told = failure;
        end(() => (told === undefined ? resolve(undefined) : reject(told.error)));
      }
    };
    begin();
  });
}
