/**
 * Makes `import.meta` in an executable say what it says where the program runs from its files. Bun would give every module
 * the path of the chunk that it was bundled into, and would call several modules the main one (oven-sh/bun #41235). So the
 * bundler replaces these expressions by variables, which each module that mentions one declares on its first line.
 */
import { basename, dirname } from "node:path";

/** The properties that are replaced, with the variables that they become. */
const variables: Readonly<Record<string, string>> = {
  main: "$furrowMain",
  url: "$furrowUrl",
  path: "$furrowPath",
  filename: "$furrowPath",
  dir: "$furrowFolder",
  dirname: "$furrowFolder",
  file: "$furrowFile",
  resolve: "$furrowResolve",
};

/** For the bundler's option `define`. */
export const importMetaDefines: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(variables).map(([property, variable]) => [`import.meta.${property}`, variable]),
);

const mention = new RegExp(String.raw`\bimport\.meta\.(${Object.keys(variables).join("|")})\b`, "g");

/** The properties of `import.meta` that a source may use. It may mention them in comments only. */
export function importMetaUses(source: string): Set<string> {
  return new Set(Array.from(source.matchAll(mention), ([, property = ""]) => property));
}

/** Where a module is in the executable. */
export interface ModulePlace {
  /** Its path; "" for furrow's own modules, as in any bundle. */
  readonly path: string;
  /** Whether actors may have it, and the program may begin with it. */
  readonly isModule: boolean;
}

/** The source with its variables declared; undefined if it needs none. */
export function withImportMeta(source: string, { path, isModule }: ModulePlace): string | undefined {
  const needed = new Set(Array.from(importMetaUses(source), (property) => variables[property]!));
  if (needed.size === 0) return undefined;
  const url = path === "" ? "" : Bun.pathToFileURL(path).href;
  const values: Record<string, string> = {
    // not true in an actor that has this module; see `runStandalone`
    $furrowMain: isModule ? `globalThis[Symbol.for("furrow.main")] === ${JSON.stringify(path)}` : "false",
    $furrowUrl: JSON.stringify(url),
    $furrowPath: JSON.stringify(path),
    $furrowFolder: JSON.stringify(dirname(path)),
    $furrowFile: JSON.stringify(basename(path)),
    $furrowResolve: `(to) => /^\\.{1,2}\\//.test(to) ? new URL(to, ${JSON.stringify(url)}).href : to`,
  };
  const declared = Array.from(needed, (variable) => `${variable} = ${values[variable]}`).join(", ");
  const at = source.startsWith("#!") ? source.indexOf("\n") + 1 : 0;
  return `${source.slice(0, at)}const ${declared}; ${source.slice(at)}`;
}

/** How a source refers to another file by a constant path. */
const references: readonly RegExp[] = [
  /\bnew\s+URL\(\s*(["'`])(\.{1,2}\/[^"'`$\n]+)\1\s*,\s*import\.meta\.url\s*,?\s*\)/g,
  /\bimport\.meta\.resolve\(\s*(["'`])(\.{1,2}\/[^"'`$\n]+)\1\s*\)/g,
  /\b(?:join|resolve)\(\s*import\.meta\.dir(?:name)?\s*,\s*(["'`])([^"'`$\n]+)\1\s*,?\s*\)/g,
];
/** Relative to the working directory. */
const moduleOption = /\bmodules?\s*:\s*\[?\s*(["'`])(\.{1,2}\/[^"'`$\n]+)\1/g;

/** The paths of the files that a source names, for the module of an actor maybe; they may not exist. */
export function namedFiles(source: string, path: string, workingFolder: string): string[] {
  const from = (folder: string, patterns: readonly RegExp[]): string[] =>
    patterns.flatMap((pattern) =>
      Array.from(source.matchAll(pattern), ([, , to = ""]) =>
        Bun.fileURLToPath(new URL(to, `file://${folder}/`)),
      ),
    );
  return [...from(dirname(path), references), ...from(workingFolder, [moduleOption])];
}
