/**
 * A project as its user sets one up: what `bun init` writes, with the package's declarations in `node_modules`. The
 * repository's own settings are stricter in some places and more lenient in others, so they would hide errors.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import compilerPath from "../../node_modules/typescript/lib/getExePath.js";

const root = join(import.meta.dir, "..", "..");

/** The compiler itself, not the script that starts it. `--lsp --stdio` makes it a language server. */
export const compiler: string = compilerPath();

/** Bounds what compiles a project, in milliseconds: on a busy machine that takes longer than a test may. */
export const compileMs = 60_000;

export interface UserProject extends Disposable {
  readonly folder: string;
  /** Runs `tsc` and returns what it prints: nothing when the project compiles. */
  compile(): Promise<string>;
}

/** Makes a project of these files, `name: text`. */
export async function userProject(files: Readonly<Record<string, string>>): Promise<UserProject> {
  const folder = mkdtempSync(join(tmpdir(), "furrow-user-"));
  const dispose = (): void => rmSync(folder, { recursive: true });
  try {
    await fill(folder, files);
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    folder,
    compile: async () => await output([compiler, "--project", ".", "--pretty", "false"], folder),
    [Symbol.dispose]: dispose,
  };
}

async function fill(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  // a registry that refuses at once: only the files that `bun init` writes are needed
  await output(["bun", "init", "-y"], folder, { BUN_CONFIG_REGISTRY: "http://127.0.0.1:1/" });
  rmSync(join(folder, "index.ts"));
  rmSync(join(folder, "node_modules"), { recursive: true, force: true });
  await installDeclarations(join(folder, "node_modules"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}

async function installDeclarations(modules: string): Promise<void> {
  const types = join(modules, "furrow", "build", "types");
  mkdirSync(types, { recursive: true });
  cpSync(join(root, "package.json"), join(modules, "furrow", "package.json"));
  const failed = await output([compiler, "--project", "tsconfig.types.json", "--outDir", types], root);
  if (failed !== "") throw new Error(`the declarations can't be made:\n${failed}`);
  // what @types/bun consists of, with the bun-types of this repository
  mkdirSync(join(modules, "@types", "bun"), { recursive: true });
  writeFileSync(join(modules, "@types", "bun", "index.d.ts"), '/// <reference types="bun-types" />\n');
  symlinkSync(join(root, "node_modules", "bun-types"), join(modules, "bun-types"));
}

async function output(command: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn(command, {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const [text] = await Promise.all([child.stdout.text(), child.exited]);
  return text;
}
