/**
 * Time for the clean-ups of a child that is about to die. Other children die at once: by SIGTERM, and, since Bun has the
 * kernel see to it (`orphanVariable`), with their parent.
 */
import { cc } from "bun:ffi";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Runtime } from "../actor/runtime.ts";
import { asError, ContextCancelledError } from "../errors.ts";
import { logger } from "../log.ts";
import { runtimeDir } from "../transport/runtime-dir.ts";

const log = logger("tree");

/** How much later than the event loop the thread gives up. */
const marginMs = 250;

/** From now on SIGTERM, and the death of the parent, end the actor in order. `onSignal` is called first. */
export function allowCleanUp(runtime: Runtime, onSignal: (signal: NodeJS.Signals) => void): void {
  process.on("SIGTERM", () => {
    onSignal("SIGTERM");
    void runtime.cancel(new ContextCancelledError(runtime.id, "SIGTERM"));
  });
  if (process.platform !== "linux") return;
  const { stopGraceMs, stopTermMs } = runtime.limits;
  try {
    outliveParent(process.ppid, stopGraceMs + stopTermMs + marginMs);
  } catch (error) {
    log.warn?.(`clean-ups won't run if the parent is killed: ${asError(error).message}`);
  }
}

/**
 * Waits for the parent's end in a thread, which doesn't depend on what JavaScript is doing; then lets the process live for
 * a while. Only when that thread runs is the kernel's own signal called off.
 */
const source = `
int poll(void *, unsigned long, int);
int usleep(unsigned int);
int kill(int, int);
int getpid(void);
int getppid(void);
int prctl(int, ...);
long syscall(long, ...);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);

static struct { int fd; short events, revents; } parent;
static int bound;

static void *outlive(void *unused) {
  while (poll(&parent, 1, -1) < 1);
  for (int waited = 0; waited < bound; waited += 50) usleep(50000);
  kill(getpid(), 9);
  return 0;
}

int outlive_parent(int pid, int bound_ms) {
  unsigned long thread;
  bound = bound_ms;
  parent.fd = syscall(434, pid, 0); /* pidfd_open */
  parent.events = 1;                /* POLLIN: it has ended */
  if (parent.fd < 0) return 1;
  if (getppid() != pid) return 2;
  if (pthread_create(&thread, 0, outlive, 0) != 0) return 3;
  return prctl(1, 0, 0, 0, 0) == 0 ? 0 : 4; /* PR_SET_PDEATHSIG */
}
`;

function outliveParent(pid: number, boundMs: number): void {
  const file = join(runtimeDir(), `outlive@${process.pid}.c`);
  writeFileSync(file, source);
  let failure: number;
  try {
    const { symbols } = cc({
      source: file,
      symbols: { outlive_parent: { args: ["i32", "i32"], returns: "i32" } },
    });
    failure = symbols.outlive_parent(pid, boundMs);
  } finally {
    rmSync(file);
  }
  if (failure !== 0) throw new Error(`cannot wait for the end of process ${pid} (step ${failure})`);
}
