/** Waits of the etcd client in milliseconds. One object, and not constants, so that a test can shorten them. */
export const etcdTiming = {
  /**
   * How long one server may be silent in a call. What was sent while the leader is dead is lost even if there is another
   * soon: asking again is faster than waiting. After so many times it is the answer that takes long: twice as long each time.
   */
  attemptMs: 1_000,
  quickAttempts: 4,
  longestAttemptMs: 4_000,
  /** The pause after each server was tried once without success; twice as long each further time, up to the last. */
  pauseMs: 50,
  longestPauseMs: 1_000,
  /** How often a watch asks for a sign of life, and how many may be missing. */
  progressMs: 800,
  progressesMissing: 2,
  /**
   * How long after its begin a watch first asks. Before 3.5.8, etcd answers even if it hasn't yet sent what was missed; it
   * sends that every 100 ms.
   */
  firstProgressMs: 250,
  /** How long a watch may be interrupted before what it brought counts as stale. */
  interruptionMs: 500,
  /** Between loads because of a host whose record contradicts what was received; doubled each time. */
  reloadMs: 500,
  longestReloadMs: 60_000,
};

/** How long an attempt may take, after so many that failed. */
export function attemptMs(tries: number): number {
  const { attemptMs: shortest, quickAttempts, longestAttemptMs } = etcdTiming;
  return Math.min(shortest * 2 ** Math.max(0, tries + 1 - quickAttempts), longestAttemptMs);
}
