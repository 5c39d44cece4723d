/** Patterns of names, as a shell has them: `*` for any characters, `?` for one. Pure. */

/** A pattern in two parts: what `watchActors` can watch, and which of those match. */
export interface NamePattern {
  readonly watched: string;
  readonly matches: (name: string) => boolean;
}

export function readPattern(glob: string): NamePattern {
  const first = glob.search(/[*?]/);
  if (first < 0) return { watched: glob, matches: (name) => name === glob };
  const expression = Array.from(glob, (char) =>
    char === "*" ? "[^]*" : char === "?" ? "[^]" : RegExp.escape(char),
  ).join("");
  const whole = new RegExp(`^${expression}$`, "u");
  return { watched: `${glob.slice(0, first)}*`, matches: (name) => whole.test(name) };
}
