/**
 * What `furrow/otel` needs of furrow. It imports values from here alone: in the package it is a file of its own, which gets
 * them from the bundle.
 */
export { watchRuntime } from "../actor/current.ts";
export type { Runtime } from "../actor/runtime.ts";
export { asError, ContextCancelledError, RemoteActorError } from "../errors.ts";
export { type ActorId, describeActor } from "../identity.ts";
export { logger, type LogTrace, setLogTrace } from "../log.ts";
export { isRuntimeName } from "../rpc/callee/dispatch.ts";
export type { ExchangeEnds, Failure, Following, Verb } from "../rpc/observer.ts";
export { leaveWith } from "../rpc/task.ts";
export { type Meta, readMeta } from "../wire/meta.ts";
export { bucketBounds } from "./histogram.ts";
export { Observation, type Watcher } from "./observation.ts";
export { otherName } from "./sample.ts";
export { askedCode, servedCode } from "./tallies.ts";
