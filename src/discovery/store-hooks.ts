/** What `furrow/etcd` takes from the rest of furrow: nothing else, since it is a file of its own in the package. */
export { sleep } from "../deadline.ts";
export { asError, causeOf, FrameError, HostTakenError, LimitError, StoreUnavailableError } from "../errors.ts";
export { describeActor, readActorId } from "../identity.ts";
export { logger } from "../log.ts";
export { ClusterStore } from "./cluster-store.ts";
export { HostContent } from "./host-content.ts";
export { encodeValue, fieldsOf, RemoteEntry, type Revision } from "./remote-entry.ts";
export { transactionsOf } from "./transactions.ts";
