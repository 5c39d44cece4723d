/** The owner of a loopback connection's other end, when another user of the machine wants to pass for this one. */
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";

import { tcpTransport } from "../../src/transport/tcp.ts";
import type { Link } from "../../src/transport/transport.ts";

/** An unprivileged user of this machine. */
const nobody = 65_534;
const canBeOthers = process.platform === "linux" && process.getuid?.() === 0;
const asNobody = [
  "setpriv",
  `--reuid=${nobody}`,
  `--regid=${nobody}`,
  "--clear-groups",
  process.execPath,
  "-e",
];

describe.skipIf(!canBeOthers)("a loopback link", () => {
  test("belongs to the user that the kernel names, even if another user has the same port at another address", async () => {
    let accepted = Promise.withResolvers<Link>();
    const listener = await tcpTransport.listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, (link) =>
      accepted.resolve(link),
    );
    const { port } = listener.address as { port: number };
    const own = connect({ host: "127.0.0.1", port });
    await once(own, "connect");
    const mine = await accepted.promise;
    accepted = Promise.withResolvers<Link>();
    const script = `const s = require("node:net").connect({ host: "127.0.0.1", port: ${port}, localAddress: "127.0.0.2", localPort: ${own.localPort} });
      s.on("error", (e) => { console.error(e); process.exit(1); }); setTimeout(() => {}, 60_000);`;
    const other = Bun.spawn([...asNobody, script], { stderr: "inherit" });
    try {
      const theirs = await accepted.promise;
      expect(own.localPort).toBeNumber();
      expect([mine.loopbackUid(), theirs.loopbackUid()]).toEqual([0, nobody]);
      theirs.abort();
    } finally {
      other.kill("SIGKILL");
      await other.exited;
      mine.abort();
      own.destroy();
      listener.close();
    }
  });

  test("is attributed over ipv6 too, and when ipv4 arrives at a dual-stack listener", async () => {
    for (const [at, to] of [
      ["::1", "::1"],
      ["::", "127.0.0.1"],
      ["127.0.0.1", "::ffff:127.0.0.1"],
    ] as const) {
      const accepted = Promise.withResolvers<Link>();
      const listener = await tcpTransport.listen({ transport: "tcp", host: at, port: 0 }, accepted.resolve);
      const own = connect({ host: to, port: (listener.address as { port: number }).port });
      const link = await accepted.promise;
      expect([at, to, link.loopbackUid()]).toEqual([at, to, 0]);
      link.abort();
      own.destroy();
      listener.close();
    }
  });
});
