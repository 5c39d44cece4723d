/** Builds contests: what a row opens in the timing process, beside a raw echo or not. */
import { type Actor, openRootActor } from "../../src/index.ts";
import type { Scene } from "../harness/row.ts";
import type { Contest, Operation } from "../harness/timing.ts";
import { type EchoClient, openEcho, pingOperation } from "../raw/echo.ts";

interface JoinOptions {
  /** How many names the lookup cache keeps. */
  readonly maxCachedNames?: number;
}

/** Starts this process's actor, which joins the server process's registrar and never becomes one itself. */
export async function join(scene: Scene, { maxCachedNames }: JoinOptions = {}): Promise<Actor> {
  return await openRootActor({
    name: "client",
    registryAddrs: scene.server?.registryAddrs ?? [],
    enableTransports: [scene.transport],
    limits: maxCachedNames === undefined ? {} : { maxCachedNames },
  });
}

/** The operations of a row; what they need is on the stack. */
export type Parts = Omit<Contest, keyof AsyncDisposable>;

/** Opens a contest whose parts end together, the last opened first. */
export async function stackedContest(
  open: (stack: AsyncDisposableStack) => Promise<Parts>,
): Promise<Contest> {
  const stack = new AsyncDisposableStack();
  try {
    return { ...(await open(stack)), [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Opens a contest between furrow and the raw echo, against the same server process. */
export async function contestWithEcho(
  scene: Scene,
  open: (stack: AsyncDisposableStack) => Promise<Operation>,
  options: JoinOptions & { readonly raw?: (client: EchoClient) => Operation } = {},
): Promise<Contest> {
  const { raw = pingOperation } = options;
  return await stackedContest(async (stack) => {
    const echo = stack.use(await openEcho(scene));
    stack.use(await join(scene, options));
    return { subject: await open(stack), baseline: raw(echo) };
  });
}
