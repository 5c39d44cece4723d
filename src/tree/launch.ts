/** How the process of a child is started: its command, its environment, and where it runs. */
import { asError, SpawnError, systemCode } from "../errors.ts";
import { reportFaults } from "../log.ts";
import { statSync } from "../transport/files.ts";
import { childFile } from "./child-main.ts";
import { type ChildInit, initVariable, orphanVariable, type SpareInit, spareName } from "./child-init.ts";
import { inspectFlags } from "./inspector.ts";
import { embeddedProgram } from "./modules.ts";
import { checkOutput, type OutputMode } from "./settings.ts";

/**
 * Variables for a debugger that a child must not inherit: it could wait for that of its parent, or compete with it for
 * the port.
 */
const debuggerVariables = ["BUN_INSPECT", "BUN_INSPECT_CONNECT_TO", "BUN_INSPECT_NOTIFY"];

/** The options of `startActor` that concern the process. */
export interface LaunchOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly output?: OutputMode;
  readonly execArgv?: readonly string[];
  readonly cwd?: string;
  readonly inspect?: boolean | string;
}

export interface Launch {
  /** The last argument. */
  readonly name: string;
  /** Without the last argument. */
  readonly command: readonly string[];
  /** Without `initVariable`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What `initVariable` has. */
  readonly init: string;
  readonly cwd: string | undefined;
  readonly output: OutputMode;
  /** Whether Bun announces a debugger on the child's stderr. */
  readonly hasInspector: boolean;
  /** Where the child's debugger listens, if that is known and Bun doesn't announce it. */
  readonly debugger?: string | undefined;
}

export type LaunchedProcess = Bun.Subprocess<"ignore", "inherit" | "pipe" | "ignore", "pipe">;

/** @throws {RangeError | TypeError} when an option is malformed; nothing was started */
export function checkLaunch({ execArgv, inspect, cwd, output }: LaunchOptions): void {
  inspectFlags(inspect);
  checkOutput(output);
  if (cwd !== undefined && (typeof cwd !== "string" || cwd === "")) {
    throw new TypeError(`cwd must be a path, got ${JSON.stringify(cwd)}`);
  }
  if (execArgv === undefined) return;
  if (!Array.isArray(execArgv) || execArgv.some((flag) => typeof flag !== "string" || flag.includes("\0"))) {
    throw new TypeError(`execArgv must be a list of strings, got ${JSON.stringify(execArgv)}`);
  }
  const [first] = execArgv as readonly string[];
  // Bun would run it in place of the actor
  if (first !== undefined && !/^--?\w/.test(first)) {
    throw new RangeError(`execArgv must begin with a flag of Bun, got ${JSON.stringify(first)}`);
  }
}

/** @throws {SpawnError} when it can't be started with these options */
export function launchOf(init: ChildInit, options: LaunchOptions): Launch {
  return launch(init.name, init, options);
}

/** How a spare process is started: as an actor with this option would be. @throws {SpawnError} when it can't be started */
export function launchOfSpare(init: SpareInit, output: OutputMode | undefined): Launch {
  return launch(spareName, init, output === undefined ? {} : { output });
}

function launch(name: string, init: ChildInit | SpareInit, options: LaunchOptions): Launch {
  if (embeddedProgram() !== undefined) return launchStandalone(name, init, options);
  const { execArgv = [], inspect, output = "inherit" } = options;
  if (childFile === "") throw new SpawnError(`cannot start actor "${name}" from ${bundleAdvice()}`);
  const flags = [...execArgv, ...inspectFlags(inspect)];
  return {
    name,
    command: [process.execPath, ...flags, childFile],
    env: environment(name, options.env),
    init: JSON.stringify(init),
    cwd: options.cwd === undefined ? undefined : checkedFolder(name, options.cwd),
    output,
    hasInspector: flags.some((flag) => flag.startsWith("--inspect")),
  };
}

function launchStandalone(name: string, init: ChildInit | SpareInit, options: LaunchOptions): Launch {
  const { executable, standaloneLaunch } =
    require("./standalone-launch.ts") as typeof import("./standalone-launch.ts");
  const merged = { ...process.env, ...options.env };
  const special = standaloneLaunch(name, merged, options.execArgv ?? [], options.inspect);
  return {
    name,
    command: [executable()],
    env: { ...environment(name, options.env), ...special.env },
    init: JSON.stringify({ ...init, env: special.restore }),
    cwd: options.cwd === undefined ? undefined : checkedFolder(name, options.cwd),
    output: options.output ?? "inherit",
    hasInspector: false,
    debugger: special.debugger,
  };
}

/** Starts the process. `more`: its descriptors after the standard streams. */
export function startProcess(
  { name, command, env, init, cwd, output }: Launch,
  ...more: readonly "socket-fd"[]
): LaunchedProcess {
  return Bun.spawn([...command, name], {
    env: { ...env, [initVariable]: init },
    ...(cwd !== undefined && { cwd }),
    argv0: process.execPath,
    stdio: ["ignore", stdoutOf(output), "pipe", ...more],
  });
}

/** What the process has as its stdout in this mode. */
export function stdoutOf(output: OutputMode): "inherit" | "pipe" | "ignore" {
  return output === "prefix" || output === "keep" ? "pipe" : output;
}

/** This process's environment with `changes` over it, and what the child needs. */
function environment(
  name: string,
  changes: Readonly<Record<string, string>> = {},
): Record<string, string | undefined> {
  const { env } = process;
  reportFaults(changes, `actor "${name}": `, env);
  const merged: Record<string, string | undefined> = { ...env, ...changes };
  for (const variable of debuggerVariables) {
    const wanted = changes[variable];
    // a copy of this process's own environment in `changes` asks for nothing
    if (wanted === undefined || wanted === env[variable]) delete merged[variable];
  }
  merged[orphanVariable] = "1";
  return merged;
}

/** The absolute path of a child's working directory. Bun's own error would name the executable as missing. */
function checkedFolder(name: string, cwd: string): string {
  const path = process.getBuiltinModule("node:path").resolve(cwd);
  let why: string;
  try {
    if (statSync(path).isDirectory()) return path;
    why = "is not a directory";
  } catch (error) {
    why = systemCode(error) === "ENOENT" ? "does not exist" : `can't be used: ${asError(error).message}`;
  }
  throw new SpawnError(`cannot start actor "${name}": its cwd ${path} ${why}`);
}

/**
 * Explains why a bundle can't start actors and what to do instead. A child runs a file of furrow, which a bundle
 * lacks.
 */
function bundleAdvice(): string {
  const leaveOut = "bun build --external furrow, with furrow in its node_modules";
  return Bun.isStandaloneExecutable
    ? "an executable made by bun build --compile: it contains no file that a child could run. Build it with furrow build FILE -o OUT"
    : `a bundle: leave furrow out of it (${leaveOut}), or make an executable of the program (furrow build FILE -o OUT)`;
}
