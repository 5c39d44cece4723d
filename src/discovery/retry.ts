/** The pause before something is tried again that others may be trying, too. */
import { sleep } from "../deadline.ts";

/** Waits for about `ms`: half as long to half as long again, so that not all come at once. Ends early with the signal; never rejects. */
export async function retryPause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms * (0.5 + Math.random()), signal).catch(() => {});
}
