/**
 * The language service of TypeScript 5, which many editors still run. It comes with are-the-types-wrong, and has an API
 * that TypeScript 7 lacks.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The part of its API that is used here. */
interface OlderCompiler {
  readonly version: string;
  readonly sys: {
    readFile(path: string): string | undefined;
    fileExists(path: string): boolean;
    directoryExists(path: string): boolean;
    getDirectories(path: string): string[];
    readDirectory(path: string): string[];
    realpath(path: string): string;
  };
  readonly ScriptSnapshot: { fromString(text: string): object };
  readConfigFile(path: string, read: (path: string) => string | undefined): { readonly config: unknown };
  parseJsonConfigFileContent(config: unknown, sys: object, folder: string): { readonly options: object };
  getDefaultLibFilePath(options: object): string;
  createLanguageService(host: object): {
    getQuickInfoAtPosition(
      path: string,
      position: number,
    ): { readonly documentation?: readonly { readonly text: string }[] } | undefined;
  };
}

/** Returns a function that gives the doc comment that an editor shows for the end of the first `place` in a file. */
export async function olderQuickInfo(
  folder: string,
  files: readonly string[],
): Promise<(file: string, place: string) => string> {
  const command = Bun.resolveSync("@arethetypeswrong/cli/package.json", import.meta.dir);
  const core = Bun.resolveSync("@arethetypeswrong/core", dirname(command));
  const compiler = (await import(Bun.resolveSync("typescript", dirname(core)))) as { default: OlderCompiler };
  const ts = compiler.default;
  const read = (path: string): string | undefined => ts.sys.readFile(path);
  const { config } = ts.readConfigFile(join(folder, "tsconfig.json"), read);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const service = ts.createLanguageService({
    getCompilationSettings: () => options,
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: (used: object) => ts.getDefaultLibFilePath(used),
    getScriptFileNames: () => files.map((file) => join(folder, file)),
    getScriptVersion: () => "1",
    getScriptSnapshot: (path: string) =>
      existsSync(path) ? ts.ScriptSnapshot.fromString(readFileSync(path, "utf8")) : undefined,
    readFile: read,
    fileExists: (path: string) => ts.sys.fileExists(path),
    directoryExists: (path: string) => ts.sys.directoryExists(path),
    getDirectories: (path: string) => ts.sys.getDirectories(path),
    realpath: (path: string) => ts.sys.realpath(path),
  });
  return (file, place) => {
    const path = join(folder, file);
    const end = readFileSync(path, "utf8").indexOf(place) + place.length;
    const shown = service.getQuickInfoAtPosition(path, end - 1);
    return (shown?.documentation ?? []).map(({ text }) => text).join("");
  };
}
