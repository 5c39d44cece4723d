/** What mutual TLS adds to a link over tcp. */
import { Deadline } from "../src/deadline.ts";
import type { ParsedTcpAddress } from "../src/transport/address.ts";
import * as tcp from "../src/transport/tcp.ts";
import type { TlsIdentity } from "../src/transport/tls.ts";
import type { Link, TransportDriver } from "../src/transport/transport.ts";
import { stackedContest } from "./client.ts";
import { pingBytes } from "./echo.ts";
import type { Operation } from "./harness.ts";
import type { RaceRow } from "./row.ts";

/** What `fixtures/links.ts` says of itself. */
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

/** A link of its own for each ping. */
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
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/fixtures/links.ts`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  stack.defer(async () => {
    await child.stdin.end();
    await child.exited;
  });
  for await (const chunk of child.stdout) return JSON.parse(new TextDecoder().decode(chunk)) as LinkPlaces;
  throw new Error("the server of links ended");
}

const connecting: RaceRow = {
  kind: "race",
  id: "tls",
  transport: "tcp",
  what: "a connect with mutual TLS, and one echo over it",
  baseline: "the same over a link of plain tcp",
  open: () =>
    stackedContest(async (stack) => {
      const { plain, tls, identity } = await serveLinks(stack);
      return {
        subject: stack.use(connectOperation(tcp.tcpDriver(identity), tls)),
        baseline: stack.use(connectOperation(tcp.tcpDriver(), plain)),
      };
    }),
};

const echoing: RaceRow = {
  kind: "race",
  id: "tls.echo",
  transport: "tcp",
  what: `${pingBytes} bytes there and back over an open link with mutual TLS`,
  baseline: "the same over a link of plain tcp",
  open: () =>
    stackedContest(async (stack) => {
      const { plain, tls, identity } = await serveLinks(stack);
      const operation = async (driver: TransportDriver, to: ParsedTcpAddress): Promise<Operation> => {
        const link = await connect(driver, to);
        stack.defer(() => link.close());
        return { run: () => ping(link) };
      };
      return {
        subject: await operation(tcp.tcpDriver(identity), tls),
        baseline: await operation(tcp.tcpDriver(), plain),
      };
    }),
};

export const tlsRows: readonly RaceRow[] = [connecting, echoing];
