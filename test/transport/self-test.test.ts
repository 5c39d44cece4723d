import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { TimeoutError } from "../../src/errors.ts";
import { echo, unixSocketFault } from "../../src/transport/self-test.ts";
import { failure } from "../support/outcome.ts";

const path = join(process.env["FURROW_RUNTIME_DIR"]!, "try.sock");

describe("unixSocketFault", () => {
  test("finds no fault when a byte comes back, and leaves no file", async () => {
    expect(await unixSocketFault(path)).toBeUndefined();
    expect(existsSync(path)).toBeFalse();
  });

  test("says why when it can't listen", async () => {
    const fault = await unixSocketFault(join(path, "below-no-directory.sock"));
    expect(fault).toBeInstanceOf(Error);
  });
});

describe("echo", () => {
  test("gives up on a listener that accepts but never answers", async () => {
    const listener = Bun.listen({ unix: path, socket: { data() {} } });
    const error = await failure(echo(path, 50));
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error.message).toContain("no byte came back within 50 ms");
    listener.stop(true);
  });
});
