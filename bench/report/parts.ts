/** The generated parts of a document: each stands between two comments with its name. */

/**
 * Returns the document with these parts generated anew; the text around them stays.
 *
 * @throws {Error} if the document has no place for a part
 */
export function fillParts(document: string, parts: Readonly<Record<string, string>>): string {
  let filled = document;
  for (const [name, text] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [start, stop] = [filled.indexOf(begin), filled.indexOf(end)];
    if (start < 0 || stop < start) throw new Error(`the document has no part ${begin} … ${end}`);
    filled = `${filled.slice(0, start + begin.length)}\n${text}\n${filled.slice(stop)}`;
  }
  return filled;
}

/** Formats a table; a column whose title ends with > is aligned right. */
export function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const titles = head.map((title) => title.replace(/ >$/, ""));
  const rule = head.map((title) => (title.endsWith(">") ? "---:" : "---"));
  return [titles, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
