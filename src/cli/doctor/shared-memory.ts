/** Shared memory, which furrow itself does without. */
import { accessSync, constants, statSync } from "node:fs";

import { asError } from "../../errors.ts";
import type { Finding } from "./finding.ts";

const path = "/dev/shm";

/** Looks whether programs can share memory; on Linux only. */
export function findSharedMemory(): Finding[] {
  if (process.platform !== "linux") return [];
  const what = fault();
  if (what === undefined) return [];
  return [
    {
      code: "shared-memory",
      level: "warning",
      what,
      which: path,
      whatToDo:
        "mount a tmpfs there if a program of yours shares memory, as browsers and some databases do; furrow doesn't",
    },
  ];
}

function fault(): string | undefined {
  try {
    if (!statSync(path).isDirectory()) return "there is no directory for shared memory";
    accessSync(path, constants.W_OK);
    return undefined;
  } catch (error) {
    const { code } = asError(error) as NodeJS.ErrnoException;
    return code === "ENOENT"
      ? "there is no shared memory"
      : `shared memory can't be written (${code ?? "?"})`;
  }
}
