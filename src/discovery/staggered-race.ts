/** Tries several registrations of a name side by side, so that a silent one doesn't cost its whole time limit. */

/** How long an attempt may take before the next one starts beside it. A healthy actor answers in a few ms. */
const silentMs = 200;

/**
 * Resolves to the first value that an attempt gives, or undefined when all give undefined. Attempts start in the order of
 * the list; the next one starts when another has failed, or has been silent for a while.
 *
 * An attempt that rejects counts as failed when `isPassable` says so; the first such error is thrown when no attempt
 * gives a value. Values that come too late go to `discard`. After RFC 8305 ("happy eyeballs").
 */
export function staggeredRace<T, C>(
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
        const first = failure;
        end(() => (first === undefined ? resolve(undefined) : reject(first.error)));
      }
    };
    begin();
  });
}
