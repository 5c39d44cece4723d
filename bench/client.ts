/** The timing process's own actor: it joins the server process's registrar, and is none itself. */
import { type Actor, openRootActor } from "../src/index.ts";
import { type EchoClient, openEcho, pingOperation } from "./echo.ts";
import type { Contest, Operation } from "./harness.ts";
import type { Scene } from "./row.ts";

interface JoinOptions {
  /** How many names the lookup cache keeps. */
  readonly maxCachedNames?: number;
}

/** Boots this process's actor, which the server process's registrar then knows. */
export async function join(scene: Scene, { maxCachedNames }: JoinOptions = {}): Promise<Actor> {
  return await openRootActor({
    name: "client",
    registryAddrs: scene.server?.registryAddrs ?? [],
    enableTransports: [scene.transport],
    limits: maxCachedNames === undefined ? {} : { maxCachedNames },
  });
}

/** The operations of a row, with what they need on the stack. */
type Parts = Omit<Contest, keyof AsyncDisposable>;

/** A contest whose parts end together, in the order of a stack. */
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

/** A contest of furrow with the raw echo, both with the same server process. */
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
