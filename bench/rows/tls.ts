/** What mutual TLS adds to a link over tcp. */
import { join } from "node:path";

import {
  Deadline,
  hasTls,
  type Link,
  type ParsedTcpAddress,
  tcpDriver,
  type TlsIdentity,
  type TransportDriver,
} from "../harness/internals.ts";
import type { RaceRow } from "../harness/row.ts";
import type { Operation } from "../harness/timing.ts";
import { pingBytes } from "../raw/echo.ts";
import { type Parts, stackedContest } from "./contest.ts";

/** What `fixtures/links.ts` prints: its addresses, and the identity for both ends. */
export interface LinkPlaces {
  readonly plain: ParsedTcpAddress;
  readonly tls: ParsedTcpAddress;
  readonly identity: TlsIdentity;
}

const message = new Uint8Array(pingBytes).fill(0x78);

async function ping(link: Link): Promise<void> {
  const answered = Promise.withResolvers<void>();
  let left = pingBytes;
  link.reader = {
    onData(chunk) {
      left -= chunk.length;
      if (left === 0) answered.resolve();
    },
    onEnd: () => answered.reject(new Error("the link ended before the answer")),
  };
  link.write(message, 0, message.length, true);
  await answered.promise;
}

function connect(driver: TransportDriver, to: ParsedTcpAddress): Promise<Link> {
  return driver.connect(to, new Deadline({ timeout: 5_000 }, "a dial of the bench"));
}

/** Opens a new link for each ping. */
function connectOperation(driver: TransportDriver, to: ParsedTcpAddress): Operation & AsyncDisposable {
  let link: Link | undefined;
  const close = async (): Promise<void> => await link?.close();
  return {
    before: close,
    async run() {
      link = await connect(driver, to);
      await ping(link);
    },
    [Symbol.asyncDispose]: close,
  };
}

async function serveLinks(stack: AsyncDisposableStack): Promise<LinkPlaces> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../fixtures/links.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  stack.defer(async () => {
    await child.stdin.end();
    await child.exited;
  });
  for await (const chunk of child.stdout) return JSON.parse(new TextDecoder().decode(chunk)) as LinkPlaces;
  throw new Error("the link server ended without an answer");
}

function tlsRow(
  id: string,
  what: string,
  open: (stack: AsyncDisposableStack, places: LinkPlaces) => Promise<Parts>,
): RaceRow {
  return {
    kind: "race",
    id,
    transport: "tcp",
    what,
    baseline: "the same over a link of plain tcp",
    skip: () => (hasTls ? undefined : "this revision has no TLS"),
    open: () => stackedContest(async (stack) => await open(stack, await serveLinks(stack))),
  };
}

export const tlsRows: readonly RaceRow[] = [
  tlsRow(
    "tls",
    "a connect with mutual TLS, and one echo over it",
    async (stack, { plain, tls, identity }) => ({
      subject: stack.use(connectOperation(tcpDriver(identity), tls)),
      baseline: stack.use(connectOperation(tcpDriver(), plain)),
    }),
  ),
  tlsRow(
    "tls.echo",
    `${pingBytes} bytes there and back over an open link with mutual TLS`,
    async (stack, { plain, tls, identity }) => {
      const operation = async (driver: TransportDriver, to: ParsedTcpAddress): Promise<Operation> => {
        const link = await connect(driver, to);
        stack.defer(() => link.close());
        return { run: () => ping(link) };
      };
      return {
        subject: await operation(tcpDriver(identity), tls),
        baseline: await operation(tcpDriver(), plain),
      };
    },
  ),
];
