import { describe, expect, test } from "bun:test";
import { dirname, join, relative, sep } from "node:path";

/** The files and folders of src/. Each may import from itself and from those above it, types included. */
const layers: readonly string[] = [
  "identity.ts",
  "frames.ts",
  "lookup-report.ts",
  "errors.ts",
  "deadline.ts",
  "log.ts",
  "limits.ts",
  "wire/",
  "transport/",
  "channel/",
  "rpc/",
  "actor/",
  "discovery/",
  "etcd/",
  "etcd.ts",
  "service/",
  "inspect/",
  "tree/",
  "testing.ts",
  "metrics.ts",
  "otel/",
  "otel.ts",
  "index.ts",
  "page/",
  "cli/",
];

const vagueNames: readonly string[] = ["utils", "util", "helpers", "helper", "common"];
const source = join(import.meta.dir, "..", "src");
const bench = join(import.meta.dir, "..", "bench");

/**
 * The specifiers that a TypeScript source names: static, type-only, re-exported, dynamic and `import()`
 * types. By pattern, because `Bun.Transpiler.scanImports` leaves out what only types need.
 */
function importsOf(text: string): string[] {
  const code = text.replaceAll(/^\s*(\/\/.*|\/\*[\s\S]*?\*\/)/gm, "");
  const clause = /^\s*(?:import|export)\b[^;'"`=()]*?\bfrom\s*["']([^"']+)["']/gm;
  const bare = /^\s*import\s*["']([^"']+)["']/gm;
  const call = /\bimport\(\s*["']([^"']+)["']/g;
  return [clause, bare, call].flatMap((pattern) => [...code.matchAll(pattern)].map(([, name = ""]) => name));
}

/** `wire/frame.ts` is in `wire/`, `errors.ts` in itself. */
function layerOf(path: string): string {
  const slash = path.indexOf("/");
  return slash < 0 ? path : path.slice(0, slash + 1);
}

/** Why `file` must not import `specifier`, or undefined if it may. Paths are relative to src/. */
function violation(file: string, specifier: string): string | undefined {
  const own = layerOf(file);
  if (specifier === "furrow" || specifier.startsWith("furrow/")) {
    return `src/${file} imports "${specifier}": src/ names its own files by relative path`;
  }
  if (!specifier.startsWith(".")) return undefined;
  const target = join(dirname(file), specifier).replaceAll(sep, "/");
  if (target.startsWith("../"))
    return `src/${file} imports "${specifier}": src/ imports nothing outside itself`;
  const other = layerOf(target);
  for (const layer of [own, other]) {
    if (!layers.includes(layer)) return `src/${file} imports "${specifier}": ${layer} stands in no layer`;
  }
  if (layers.indexOf(other) <= layers.indexOf(own)) return undefined;
  return `src/${file} imports "${specifier}": ${own} may not import from ${other}, which is below it`;
}

/** A way from each file back to itself, as long as there is one; a circle is listed once. */
function circlesOf(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" -> "));
    if (way.includes(file) || done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...way, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return circles;
}

async function sourceFiles(folder: string = source): Promise<string[]> {
  const paths = await Array.fromAsync(
    new Bun.Glob("**/*.{ts,tsx,js,mts}").scan({ cwd: folder, absolute: true }),
  );
  return paths.map((path) => relative(folder, path).replaceAll(sep, "/")).toSorted();
}

/** The files that each file of `folder` imports by relative path; all paths are relative to `folder`. */
async function importGraph(folder: string): Promise<Map<string, string[]>> {
  const graph = new Map<string, string[]>();
  for (const file of await sourceFiles(folder)) {
    const own = importsOf(await Bun.file(join(folder, file)).text()).filter((name) => name.startsWith("."));
    graph.set(
      file,
      own.map((name) => join(dirname(file), name).replaceAll(sep, "/")),
    );
  }
  return graph;
}

describe("layers of src", () => {
  test("every file stands in a layer", async () => {
    const strays = (await sourceFiles()).filter((file) => !layers.includes(layerOf(file)));
    expect(strays).toEqual([]);
  });

  test("every file imports only from its own layer and those above", async () => {
    const violations: string[] = [];
    for (const file of await sourceFiles()) {
      const imports = importsOf(await Bun.file(join(source, file)).text());
      violations.push(...imports.flatMap((specifier) => violation(file, specifier) ?? []));
    }
    expect(violations).toEqual([]);
  });

  test("no files import each other in a circle, types included", async () => {
    expect(circlesOf(await importGraph(source))).toEqual([]);
  });

  test("no file imports the main file of a child: it would wait for the start that may need it", async () => {
    const importers = [...(await importGraph(source))].filter(([, paths]) => paths.includes("tree/child.ts"));
    expect(importers).toEqual([]);
  });

  test("no file or folder has a name that says nothing", async () => {
    const vague = (await sourceFiles()).filter((file) =>
      file.split("/").some((part) => vagueNames.includes(part.split(".")[0] ?? "")),
    );
    expect(vague).toEqual([]);
  });
});

describe("files of bench", () => {
  test("no files import each other in a circle, types included", async () => {
    expect(circlesOf(await importGraph(bench))).toEqual([]);
  });

  test("only harness/internals.ts imports the internals of src, so that one file follows their moves", async () => {
    const strays = [...(await importGraph(bench))].flatMap(([file, imports]) =>
      imports
        .filter((path) => path.startsWith("../src/") && path !== "../src/index.ts")
        .map((path) => `bench/${file} imports ${path}`),
    );
    expect(strays.filter((stray) => !stray.startsWith("bench/harness/internals.ts "))).toEqual([]);
  });
});

describe("circlesOf", () => {
  test("shows the way round", () => {
    const imports = new Map([
      ["a", ["b", "d"]],
      ["b", ["c"]],
      ["c", ["a"]],
      ["d", ["b"]],
    ]);
    expect(circlesOf(imports)).toEqual(["a -> b -> c -> a"]);
  });
});

describe("importsOf", () => {
  test.each([
    ['import { a } from "./a.ts";', ["./a.ts"]],
    ['import type { A } from "./a.ts";', ["./a.ts"]],
    ['import {\n  type A,\n  b,\n} from "./a.ts";', ["./a.ts"]],
    ["import * as a from './a.ts'", ["./a.ts"]],
    ['import "./a.ts";', ["./a.ts"]],
    ['export { a } from "./a.ts";', ["./a.ts"]],
    ['export type * from "./a.ts";', ["./a.ts"]],
    ['const a = await import("./a.ts");', ["./a.ts"]],
    ['type A = import("./a.ts").A;', ["./a.ts"]],
    ['/**\n * import { a } from "./a.ts";\n */\n// import { b } from "./b.ts";', []],
    ["export const from = \"from './a.ts'\";", []],
    ['export function f(): void {}\nimport { a } from "./a.ts";', ["./a.ts"]],
  ])("reads %j", (text, expected) => {
    expect(importsOf(text)).toEqual(expected);
  });
});

describe("violation", () => {
  test.each([
    ["wire/frame.ts", "../errors.ts", undefined],
    ["wire/frame.ts", "./codec.ts", undefined],
    ["wire/frame.ts", "node:fs", undefined],
    [
      "wire/frame.ts",
      "../rpc/types.ts",
      'src/wire/frame.ts imports "../rpc/types.ts": wire/ may not import from rpc/, which is below it',
    ],
    [
      "errors.ts",
      "./log.ts",
      'src/errors.ts imports "./log.ts": errors.ts may not import from log.ts, which is below it',
    ],
    ["log.ts", "../test/a.ts", 'src/log.ts imports "../test/a.ts": src/ imports nothing outside itself'],
    ["log.ts", "./odd/a.ts", 'src/log.ts imports "./odd/a.ts": odd/ stands in no layer'],
    [
      "log.ts",
      "furrow/testing",
      'src/log.ts imports "furrow/testing": src/ names its own files by relative path',
    ],
  ])("judges %s importing %s", (file, specifier, expected) => {
    expect(violation(file, specifier)).toBe(expected);
  });
});
