/** What the first documents say is so: the README, and what it leads to. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import * as furrow from "../src/index.ts";
import { defaultLimits } from "../src/limits.ts";
import { blocks, expectOutput, hasTest, read, root, rows, section } from "./support/documents.ts";

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** The programs of a document, each with what it prints: a block of TypeScript, and the text below it. */
function programs(document: string): { program: string; output: string }[] {
  const found = blocks(document).filter(({ language }) => language === "ts" || language === "text");
  expect(found.map(({ language }) => language)).toEqual(found.map((_, at) => (at % 2 === 0 ? "ts" : "text")));
  return Array.from({ length: found.length / 2 }, (_, at) => ({
    program: found[2 * at]!.text,
    output: found[2 * at + 1]!.text,
  }));
}

describe("README.md", () => {
  const document = read("README.md");

  test("has a program of 20 lines that prints what it shows", async () => {
    const [first, ...more] = programs(document);
    expect(more).toEqual([]);
    expect(first!.program.trimEnd().split("\n")).toHaveLength(20);
    await expectOutput(first!.program, first!.output);
  });

  test("is at most 150 lines long, and says how to add the package", () => {
    expect(document.trimEnd().split("\n").length).toBeLessThanOrEqual(150);
    expect(document).toContain("`bun add furrow`");
  });

  test("has the two commands of a clone first, with Bun and with npm", () => {
    const [withBun, withNpm] = blocks(document).filter(({ language }) => language === "sh");
    expect(withBun!.text.split("\n")).toEqual([
      "bun install --frozen-lockfile && bun run demo",
      "bun install --frozen-lockfile && bun test",
      "",
    ]);
    expect(withNpm!.text).toBe(withBun!.text.replaceAll("bun ", "npx --yes bun@1.4.5 "));
  });

  test("leads to every document and every example", () => {
    const linked = new Set(linksOf(document));
    expect(documents.filter((file) => file !== "README.md" && !linked.has(file))).toEqual([]);
    const examples = readdirSync(join(root, "examples")).map((name) => `examples/${name}`);
    expect(examples.filter((file) => !linked.has(file))).toEqual([]);
  });
});

describe("docs/guarantees.md", () => {
  test("names a test that exists in each row", () => {
    const guarantees = rows(read("docs/guarantees.md"), /^(?!guarantee$|-+$)/);
    expect(guarantees.length).toBeGreaterThan(80);
    const missing = guarantees.filter((row) => {
      const [, file = "", title = ""] = /^`(test\/\S+\.ts)`: (.+)$/.exec(row[1]!) ?? [];
      return row.length !== 2 || !hasTest(file, title);
    });
    expect(missing).toEqual([]);
  });
});

describe("docs/concepts.md", () => {
  const document = read("docs/concepts.md");

  for (const { program, output } of programs(document)) {
    test(`has a program that prints what it shows: ${program.split("\n")[0]!.slice(3)}`, async () => {
      await expectOutput(program, output);
    });
  }

  test("has the default timeouts that the source has", () => {
    const source = Array.from(new Bun.Glob("**/*.ts").scanSync(join(root, "src")), (file) =>
      readFileSync(join(root, "src", file), "utf8"),
    ).join("\n");
    /** The values of a constant, or of one of a literal's fields: `startTimeoutMs = 10_000`, `backoffMs: [50, 5_000]`. */
    const constant = (name: string): number[] => {
      const found = Array.from(source.matchAll(new RegExp(`\\b${name}(?: =|:) \\[?([\\d_, ]*\\d)\\b`, "g")));
      expect(found.length, name).toBe(1);
      return found[0]![1]!.split(", ").map((value) => Number(value.replaceAll("_", "")));
    };
    const { probeTimeoutMs, dialTimeoutMs, handshakeTimeoutMs, stopGraceMs, stopTermMs } = defaultLimits;
    const expected: Record<string, readonly number[]> = {
      "`openRootActor`": constant("bootTimeoutMs"),
      "`startActor`": constant("startTimeoutMs"),
      "`findOrStart`": constant("startTimeoutMs"),
      "a call of a service": constant("defaultWaitMs"),
      "`findActor`": [...constant("probeTries"), probeTimeoutMs],
      "dialling one address": [dialTimeoutMs],
      "a handshake": [handshakeTimeoutMs],
      "`portal.cancelActor()`": constant("defaultStopMs"),
      "`portal.drainActor()`": constant("defaultDrainMs"),
      "a clean-up of": [stopGraceMs, stopTermMs],
      "stopping a child: after the cancel": [stopGraceMs],
      "stopping a child: after SIGTERM": [stopTermMs],
      "leaving a stream or dialog": [stopGraceMs, stopTermMs],
      "functions that still run": [stopGraceMs, 2],
      "a restart's pause": constant("backoffMs"),
      "restarts are counted": constant("withinMs"),
      "a connection that nothing uses": constant("defaultIdleMs"),
      "on TCP between machines": constant("pingIntervalMs"),
    };
    const listed = rows(section(document, "Default timeouts"), /^(?!what waits$|-+$)/);
    const numbers = (text: string): number[] =>
      (text.match(/\d[\d,]*\d|\d/g) ?? []).map((number) => Number(number.replaceAll(",", "")));
    for (const [what, values] of Object.entries(expected)) {
      const [row, ...more] = listed.filter(([cell = ""]) => cell.startsWith(what));
      expect(more, what).toEqual([]);
      expect(numbers(row?.[1] ?? ""), what).toEqual([...values]);
    }
    const bounded = listed.filter(([, bound = ""]) => numbers(bound).length > 0);
    expect(bounded).toHaveLength(Object.keys(expected).length);
    // silence is given up one interval after the last ping that may stay unanswered
    const silenceMs = (constant("pingsUnanswered")[0]! + 1) * constant("pingIntervalMs")[0]!;
    expect(listed.find(([cell = ""]) => cell.startsWith("on TCP"))?.[2]).toContain(`${silenceMs / 1_000} s`);
  });
});

describe("what an actor costs", () => {
  test("is the same in every document that says it", () => {
    const costs = section(read("docs/concepts.md"), "What an actor costs");
    const listed = rows(costs, /^[a-z`]/).map(([, amount = ""]) => amount);
    const [resident = "", own = ""] = listed.map((amount) => /^\d+ MB/.exec(amount)?.[0]).filter(Boolean);
    const [start = ""] = listed.map((amount) => /^\d+ ms/.exec(amount)?.[0]).filter(Boolean);
    const link = "concepts.md#what-an-actor-costs)";
    const said = (file: string): string[] => {
      const line = read(file)
        .replaceAll(/\n +/g, " ")
        .split("\n")
        .find((one) => one.includes(link) && one.includes("ms"));
      return line?.match(/\d+ M?[Bm]s?/g) ?? [];
    };
    expect(said("README.md")).toEqual([start, resident, own]);
    expect(said("docs/faq.md")).toEqual([start, own]);
  });
});

describe("docs/reference.md", () => {
  const document = read("docs/reference.md");

  test("has the limits with their defaults", () => {
    const listed = rows(document, /^`\w+`(, `\w+`)*$/).flatMap(([names = "", values = ""]) =>
      names
        .split(", ")
        .map((name, at) => [name.replaceAll("`", ""), Number(values.split(", ")[at])] as const),
    );
    const limits = listed.filter(([name]) => Object.hasOwn(defaultLimits, name));
    expect(Object.fromEntries(limits)).toEqual({ ...defaultLimits });
  });

  test("names every function that is exported", () => {
    const functions = Object.entries(furrow).flatMap(([name, value]) => {
      const isClass = /^[A-Z]/.test(name);
      return typeof value === "function" && !isClass ? [name] : [];
    });
    expect(functions.length).toBeGreaterThan(15);
    expect(functions.filter((name) => !section(document, "API").includes(`\`${name}`))).toEqual([]);
  });
});

describe("docs/errors.md", () => {
  const document = read("docs/errors.md");

  test("says of every error what to do about it", () => {
    const errors = rows(document, /^`\w+Error`$/);
    expect(errors.length).toBeGreaterThan(20);
    expect(errors.filter((row) => row.length !== 4 || row[2]!.length < 20 || row[3]!.length < 20)).toEqual(
      [],
    );
    expect(new Set(errors.map((row) => row[3])).size).toBe(errors.length);
  });

  test("says of every stage of a timeout what to do about it", () => {
    const union = /export type Stage = ([^;]+);/.exec(read("src/errors.ts"))![1]!;
    const stages = union.replaceAll('"', "`").split(" | ");
    const listed = rows(section(document, "Timeouts by stage"), /^`\w+`$/).filter(
      (row) => row[2]!.length > 20,
    );
    expect(new Set(listed.map(([stage]) => stage))).toEqual(new Set(stages));
  });

  test("has a program that prints what it shows", async () => {
    const [only, ...more] = programs(document);
    expect(more).toEqual([]);
    await expectOutput(only!.program, only!.output);
  });
});

/** The paths and anchors that a document links to, beside those of the web. */
function linksOf(text: string): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, "");
  return Array.from(prose.matchAll(/\]\((?!https?:)([^)\s]+)\)/g), ([, target = ""]) => target);
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const headings = Array.from(
    text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm),
    ([, heading = ""]) => heading,
  );
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

describe("every document", () => {
  for (const file of documents) {
    test(`${file} links to files and headings that exist`, () => {
      const text = read(file);
      const broken = linksOf(text).filter((link) => {
        const [path = "", anchor] = link.split("#");
        const target = path === "" ? file : join(file, "..", path);
        if (!existsSync(join(root, target))) return true;
        return anchor !== undefined && target.endsWith(".md") && !anchorsOf(read(target)).has(anchor);
      });
      expect(broken).toEqual([]);
    });
  }
});

describe("package.json", () => {
  test("says where the project lives, in one place", () => {
    const { repository, homepage, bugs } = JSON.parse(read("package.json")) as Record<string, unknown>;
    const home = "https://github.com/furrow-run/furrow";
    expect(repository).toEqual({ type: "git", url: `git+${home}.git` });
    expect([homepage, bugs]).toEqual([`${home}#readme`, { url: `${home}/issues` }]);
  });
});
