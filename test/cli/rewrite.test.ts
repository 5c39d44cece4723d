import { describe, expect, test } from "bun:test";

import { namedFiles, withImportMeta } from "../../src/cli/build/rewrite.ts";

const place = { path: "/$bunfs/root/src/a.ts", isModule: false };

describe("withImportMeta", () => {
  test("leaves a source alone that doesn't use it", () => {
    expect(withImportMeta("export const a = import.meta.env;", place)).toBeUndefined();
    expect(withImportMeta("export const a = import.meta.mainly;", place)).toBeUndefined();
  });

  test("declares what the source uses on its first line, after a hashbang", () => {
    expect(withImportMeta("use(import.meta.url);\n", place)).toBe(
      'const $furrowUrl = "file:///$bunfs/root/src/a.ts"; use(import.meta.url);\n',
    );
    expect(withImportMeta("#!/usr/bin/env bun\nuse(import.meta.dir)", place)).toBe(
      '#!/usr/bin/env bun\nconst $furrowFolder = "/$bunfs/root/src"; use(import.meta.dir)',
    );
  });

  test("declares one variable for two names of the same", () => {
    expect(withImportMeta("import.meta.path + import.meta.filename", place)).toStartWith(
      'const $furrowPath = "/$bunfs/root/src/a.ts"; import',
    );
  });

  test("makes only the program's modules ask whether they are the main one", () => {
    expect(withImportMeta("import.meta.main", place)).toStartWith("const $furrowMain = false; ");
    expect(withImportMeta("import.meta.main", { ...place, isModule: true })).toStartWith(
      'const $furrowMain = globalThis[Symbol.for("furrow.main")] === "/$bunfs/root/src/a.ts"; ',
    );
  });
});

describe("namedFiles", () => {
  test.each([
    ['new URL("./b.ts", import.meta.url)', ["/src/b.ts"]],
    ["new URL(\n  '../c.ts',\n  import.meta.url,\n)", ["/c.ts"]],
    ["new URL(`./d.ts`, import.meta.url).href", ["/src/d.ts"]],
    ['import.meta.resolve("./e.ts")', ["/src/e.ts"]],
    ['join(import.meta.dir, "jobs", name)', []],
    ['join(import.meta.dirname, "jobs/f.ts")', ["/src/jobs/f.ts"]],
    ['{ module: "./g.ts" }', ["/work/g.ts"]],
    ['{ modules: ["./h.ts"] }', ["/work/h.ts"]],
    ["new URL(`./${name}.ts`, import.meta.url)", []],
    ['new URL("https://example.org", import.meta.url)', []],
    ['{ module: "package" }', []],
  ])("reads %j", (source, expected) => {
    expect(namedFiles(source, "/src/a.ts", "/work")).toEqual(expected);
  });
});
