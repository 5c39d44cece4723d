/** How the process of a child is started: its command, its environment, and where it runs. */
import { asError, SpawnError, systemCode } from "../errors.ts";
import { reportFaults } from "../log.ts";
import { statSync } from "../transport/files.ts";
import { childFile } from "./child-main.ts";
import { type ChildInit, initVariable, orphanVariable } from "./child-init.ts";
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
  readonly command: string[];
  readonly env: Record<string, string | undefined>;
  readonly cwd: string | undefined;
  readonly output: OutputMode;
  /** Whether Bun announces a debugger on the child's stderr. */
  readonly hasInspector: boolean;
  /** Where the child's debugger listens, if that is known and Bun doesn't announce it. */
  readonly debugger?: string | undefined;
}

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
  if (embeddedProgram() !== undefined) return launchStandalone(init, options);
  const { execArgv = [], inspect, output = "inherit" } = options;
  if (childFile === "") throw new SpawnError(`cannot start actor "${init.name}" from ${bundleAdvice()}`);
  const flags = [...execArgv, ...inspectFlags(inspect)];
  return {
    command: [process.execPath, ...flags, childFile, init.name],
    env: environment(init, options.env),
    cwd: options.cwd === undefined ? undefined : checkedFolder(init.name, options.cwd),
    output,
    hasInspector: flags.some((flag) => flag.startsWith("--inspect")),
  };
}

function launchStandalone(init: ChildInit, options: LaunchOptions): Launch {
  const { executable, standaloneLaunch } =
    require("./standalone-launch.ts") as typeof import("./standalone-launch.ts");
  const { name } = init;
  const merged = { ...process.env, ...options.env };
  const special = standaloneLaunch(name, merged, options.execArgv ?? [], options.inspect);
  return {
    command: [executable(), name],
    env: { ...environment({ ...init, env: special.restore }, options.env), ...special.env },
    cwd: options.cwd === undefined ? undefined : checkedFolder(name, options.cwd),
    output: options.output ?? "inherit",
    hasInspector: false,
    debugger: special.debugger,
  };
}

/** This process's environment with `changes` over it, and what the child needs. */
function environment(
  init: ChildInit,
  changes: Readonly<Record<string, string>> = {},
): Record<string, string | undefined> {
  const { env } = process;
  reportFaults(changes, `actor "${init.name}": `, env);
  const merged: Record<string, string | undefined> = { ...env, ...changes };
  for (const name of debuggerVariables) {
    const wanted = changes[name];
    // a copy of this process's own environment in `changes` asks for nothing
    if (wanted === undefined || wanted === env[name]) delete merged[name];
  }
  merged[initVariable] = JSON.stringify(init);
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
