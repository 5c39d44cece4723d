/** Tells systemd how a service is doing; see sd_notify(3). Bun has no unix datagrams, so the C library sends them. */
import { ptr } from "bun:ffi";

import { openLibc } from "../../transport/libc.ts";

const unixFamily = 1;
const datagram = 2;
const closeOnExec = 0x8_0000;
const noSignal = 0x4000;

const signatures = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
} as const;

/** Sends `state`, such as "READY=1"; returns whether a service manager took it. Without one, it does nothing. */
export function notify(state: string, path: string | undefined = process.env["NOTIFY_SOCKET"]): boolean {
  if (path === undefined || path === "" || process.platform !== "linux") return false;
  const { socket, sendto, close } = openLibc(signatures);
  const fd = socket(unixFamily, datagram | closeOnExec, 0);
  if (fd < 0) return false;
  const text = Buffer.from(state);
  const address = addressOf(path);
  try {
    return Number(sendto(fd, ptr(text), text.length, noSignal, ptr(address), address.length)) === text.length;
  } finally {
    close(fd);
  }
}

/** `struct sockaddr_un`; a path that begins with @ is abstract. */
function addressOf(path: string): Buffer {
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : path);
  const family = Buffer.from(new Uint16Array([unixFamily]).buffer);
  return Buffer.concat([family, name]);
}

/**
 * Reports that the service is alive, as often as its unit's `WatchdogSec` wants: a process that hangs stops doing that.
 * Does nothing where none is set.
 */
export function keepWatchdog(): Disposable {
  const ms = Number(process.env["WATCHDOG_USEC"] ?? 0) / 1_000;
  const isForUs = Number(process.env["WATCHDOG_PID"] ?? process.pid) === process.pid;
  const timer = ms > 0 && isForUs ? setInterval(() => notify("WATCHDOG=1"), ms / 2) : undefined;
  timer?.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
