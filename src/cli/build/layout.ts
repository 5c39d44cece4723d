/** Where the files of a program are in its executable, and how that begins. */
import { existsSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

import type { ModulePlace } from "./rewrite.ts";
import type { ProgramFiles } from "./scan.ts";

/** Where an executable shows its files. */
const embeddedRoot = "/$bunfs/root";

export class Layout {
  /** The folder that becomes `embeddedRoot`. */
  readonly folder: string;
  readonly #files: ProgramFiles;
  readonly #packages: ReadonlyMap<string, string>;
  readonly #isOwn: (path: string) => boolean;

  /**
   * `packages`: the modules that are named by a package's specifier. `isSearched`: whether a file is the program's own; `isOwn`: whether
   * it's furrow's.
   */
  constructor(
    files: ProgramFiles,
    packages: ReadonlyMap<string, string>,
    isSearched: (path: string) => boolean,
    isOwn: (path: string) => boolean,
  ) {
    this.#files = files;
    this.#packages = packages;
    this.#isOwn = isOwn;
    const [main = "/"] = files.modules;
    const own = [...files.modules, ...files.sources].filter(isSearched).map((path) => dirname(path));
    // so that a path relative to the working directory means the same as here
    const cwd = isBelow(main, process.cwd()) ? [process.cwd()] : [];
    this.folder = [...own, ...cwd].reduce(commonFolder);
  }

  /** What actors may have as their modules. */
  get modules(): readonly string[] {
    return this.#files.modules;
  }

  /** The path of a file in the executable. */
  place(path: string): ModulePlace {
    if (this.#isOwn(path)) return { path: "", isModule: false };
    const isModule = this.#files.modules.includes(path);
    if (isBelow(path, this.folder))
      return { path: join(embeddedRoot, relative(this.folder, path)), isModule };
    const inPackages = path.indexOf("node_modules/");
    return { path: join(embeddedRoot, inPackages < 0 ? basename(path) : path.slice(inPackages)), isModule };
  }

  /** The source of the module that the executable begins with. */
  entry(own: string): string {
    const { modules } = this.#files;
    const named = modules.map((path) => [this.place(path).path, path] as const);
    const loaders = [...named, ...this.#packages].map(
      ([name, path]) => `${JSON.stringify(name)}: () => import(${JSON.stringify(path)})`,
    );
    const folder = isBelow(process.cwd(), this.folder) ? relative(this.folder, process.cwd()) : "";
    return `import { runStandalone } from ${JSON.stringify(standaloneFile(own))};
      runStandalone({
        main: ${JSON.stringify(this.place(modules[0]!).path)},
        folder: ${JSON.stringify(join(embeddedRoot, folder))},
        modules: { ${loaders.join(", ")} },
      });`;
  }
}

/** The module of furrow that runs an executable: in the package, it's part of the file for bundles. */
function standaloneFile(own: string): string {
  const packaged = join(own, "lib/bundled.js");
  return existsSync(packaged) ? packaged : join(own, "src/tree/standalone.ts");
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

function commonFolder(a: string, b: string): string {
  let folder = a;
  while (!isBelow(b, folder)) folder = dirname(folder);
  return folder;
}
