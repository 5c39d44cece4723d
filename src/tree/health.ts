/** Answers the probes of an orchestrator over HTTP: whether the process responds, and whether it can be found and called. */
import { actorRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { Registrars } from "../discovery/registrars.ts";
import { AddressError, asError, NoRuntimeError } from "../errors.ts";
import { outsideTasks } from "../rpc/task.ts";

/** An HTTP server with the health of an actor. */
export interface Health extends AsyncDisposable {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
}

const ok = "ok";

/**
 * Serves the health of this process's actor, as JSON, until disposal or the actor's end:
 *
 * - `GET /livez`: 200. A process whose event loop is blocked doesn't answer.
 * - `GET /readyz`: 200 while lookups find the actor, that is, while it's registered or is the registrar, and it isn't draining or
 *   ending; otherwise 503. `checks` in the body says what fails.
 *
 * `hostname` is 127.0.0.1 by default; an orchestrator on the outside needs another, such as "0.0.0.0". The answers name the actor and
 * nothing else of it. `port` 0 takes a free one, see `url`.
 *
 * @throws {NoRuntimeError} when this process has no actor, or that is ending
 * @throws {RangeError} when `port` isn't an integer from 0 to 65535
 * @throws {AddressError} when the port can't be bound
 */
export async function serveHealth(options: {
  readonly port: number;
  readonly hostname?: string;
}): Promise<Health> {
  const { port, hostname = "127.0.0.1" } = options;
  const runtime = actorRuntime();
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new RangeError(`port must be an integer from 0 to 65535, got ${String(port)}`);
  if (runtime.ending.hasBegun)
    throw new NoRuntimeError("the actor is ending: its health isn't served any more");
  const server = outsideTasks(() => listen(runtime, port, hostname));
  const stop = async (): Promise<void> => await server.stop(true);
  // after the clean-ups of the program: until then it says that the actor is ending
  const forget = runtime.ending.at("rest", stop);
  return {
    url: server.url.href.replace(/\/$/, ""),
    async [Symbol.asyncDispose]() {
      forget();
      await stop();
    },
  };
}

function listen(runtime: Runtime, port: number, hostname: string): Bun.Server<undefined> {
  try {
    return Bun.serve({ port, hostname, fetch: (request) => answer(runtime, request) });
  } catch (error) {
    throw new AddressError(`cannot serve health on port ${port} of ${hostname}: ${asError(error).message}`, {
      cause: error,
    });
  }
}

function answer(runtime: Runtime, { method, url }: Request): Response {
  const { pathname } = new URL(url);
  if (pathname !== "/livez" && pathname !== "/readyz") return respond(404, { error: "not found" });
  if (method !== "GET" && method !== "HEAD")
    return respond(405, { error: "use GET" }, { allow: "GET, HEAD" });
  const actor = runtime.name;
  if (pathname === "/livez") return respond(200, { status: ok, actor });
  const checks = { registered: registered(runtime), serving: serving(runtime) };
  const isReady = Object.values(checks).every((result) => result === ok);
  return respond(isReady ? 200 : 503, { status: isReady ? ok : "unavailable", actor, checks });
}

function respond(status: number, body: object, headers: Record<string, string> = {}): Response {
  const type = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(`${JSON.stringify(body)}\n`, { status, headers: { ...type, ...headers } });
}

function registered(runtime: Runtime): string {
  const registrars = Registrars.of(runtime);
  if (registrars.isRegistrar || registrars.links.some((link) => link.isListed)) return ok;
  return "no registrar has this actor registered";
}

function serving({ ending, isFinishing }: Runtime): string {
  if (ending.hasBegun) return "the actor is ending";
  return isFinishing ? "the actor is draining" : ok;
}
