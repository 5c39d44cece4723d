/**
 * furrow: structured-concurrent actors for Bun, with discovery at its heart.
 *
 * The layers, each importing only from those above it:
 *
 *   identity, frames, lookup-report, errors, deadline, log, limits: what everything uses
 *   wire/        frames, messages, and the values that cross
 *   transport/   unix sockets and tcp; addresses
 *   channel/     messages both ways; handshake; the connected peers
 *   rpc/         calls, portals, remote errors
 *   actor/       the actor of this process
 *   discovery/   the table, the registrar, the cache, lookups
 *   etcd/        the directory of many machines, on etcd
 *   service/     a name as one: calls to whichever instance is there
 *   inspect/     what an actor measures while somebody looks
 *   tree/        root, client, nursery, child processes
 *   otel/        traces for OpenTelemetry
 *   page/        the live page of `furrow ui`: its server, and in page/app/ what runs in the browser
 *   cli/         the command line, `furrow`
 */
export { currentActor } from "./actor/current.ts";
export type { Actor, ActorStats, LookupStats, RegistrarStats } from "./actor/actor.ts";
export type { ActorState, Metadata } from "./actor/details.ts";
export { shareBuffer } from "./actor/share-buffer.ts";
export type { ClusterStore } from "./discovery/cluster-store.ts";
export { getPeerByName } from "./discovery/connected.ts";
export { explainLookup } from "./discovery/explain.ts";
export { findActor } from "./discovery/find.ts";
export { forEachActor } from "./discovery/for-each-actor.ts";
export type { FindOptions, WaitOptions } from "./discovery/lookup.ts";
export type { PickOption, SelectOptions } from "./discovery/selection.ts";
export { type QueryResult, queryActor } from "./discovery/query.ts";
export type { RegistrarApi } from "./discovery/registrar-api.ts";
export { Arbiter, Registrar } from "./discovery/registrar-kind.ts";
export type { Registration } from "./discovery/registration.ts";
export { getRegistry } from "./discovery/registry.ts";
export { waitForActor } from "./discovery/wait.ts";
export { type ActorEvent, watchActors, type WatchOptions } from "./discovery/watch-actors.ts";
export {
  ActorDiedError,
  ActorDrainingError,
  ActorNameError,
  ActorNotFoundError,
  AddressError,
  ContextCancelledError,
  EncodeError,
  FrameError,
  FurrowError,
  HandshakeError,
  HostTakenError,
  LaggedError,
  LimitError,
  NameTakenError,
  NoRuntimeError,
  NotExposedError,
  PermissionDeniedError,
  RegistryExistsError,
  RegistryOccupiedError,
  RegistryUnavailableError,
  RemoteActorError,
  RuntimeExistsError,
  SpawnError,
  type Stage,
  StoreUnavailableError,
  TimeoutError,
  TransportClosedError,
  UnauthenticatedError,
} from "./errors.ts";
export type { ActorId } from "./identity.ts";
export type { LookupReport, ReportedCandidate, ReportedDial, ReportedRegistrar } from "./lookup-report.ts";
export type { Security } from "./actor/security.ts";
export type { PolicyRule } from "./rpc/policy.ts";
export type { SecretOption } from "./transport/secret.ts";
export type { TlsFiles } from "./transport/tls.ts";
export type { TaskPeer } from "./rpc/task.ts";
export type { Limits } from "./limits.ts";
export { LocalPortal } from "./rpc/portal.ts";
export type { ExposedFunction } from "./rpc/callee/dispatch.ts";
export { broadcast, type Broadcast } from "./rpc/broadcast.ts";
export { currentTask } from "./rpc/task.ts";
export { type Schema, type Schemas, validated } from "./rpc/callee/validated.ts";
export { openTaskGroup, shield, type TaskGroup } from "./rpc/task-group.ts";
export type {
  CallOptions,
  CannotCross,
  Context,
  ContextTypes,
  Dialog,
  OpenApi,
  PeerInfo as Peer,
  Portal,
  PortalClosed,
  PortalGroup,
  RunApi,
  StreamApi,
  UntypedApi,
} from "./rpc/types.ts";
export {
  type Address,
  type AddressInput,
  formatAddress,
  parseAddress,
  type ParsedAddress,
  rankAddresses,
  type TcpAddress,
  toMultiaddr,
  type Transport,
  type UnixAddress,
} from "./transport/address.ts";
export { type LogLevel, type LogRecord, onLog } from "./log.ts";
export { openService } from "./service/open-service.ts";
export type { Service, ServiceCallOptions, ServiceOptions } from "./service/types.ts";
export type { KeyOf, ServiceBy } from "./service/balance.ts";
export { type ActorCluster, openActorCluster } from "./tree/cluster.ts";
export { type Client, type ClientOptions, openClient } from "./tree/client.ts";
export type { ChildEvent, ChildInfo, ChildState } from "./tree/child-events.ts";
export { type Health, serveHealth } from "./tree/health.ts";
export { type Nursery, type NurseryOptions, openNursery } from "./tree/nursery.ts";
export type { RestartOption } from "./tree/restart.ts";
export { getRoot, openRootActor } from "./tree/root.ts";
export type { RootOptions } from "./tree/root-options.ts";
export type { ReplaceOptions, StartOptions } from "./tree/start-options.ts";
export type { Strategy } from "./tree/supervisor.ts";
export { registerError } from "./wire/error-values.ts";
export { SharedBuffer } from "./wire/shared-buffer.ts";
