/** What is said of a module that can't be loaded. */
import { setStack, userFrames, withoutFrames } from "../frames.ts";

/** How many of a module's errors to report. */
const maxToldErrors = 5;

/** Describes what went wrong, including the position if the error's frames don't show it. */
export function describeLoadError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const found = buildMessages(error);
  if (found.length === 0) return `${error.name}: ${error.message}`;
  return found
    .slice(0, maxToldErrors)
    .map(({ message, position }) => {
      const { file, line, column, lineText } = position;
      return `${file}:${line}:${column}: ${message}\n    ${lineText}\n    ${" ".repeat(column - 1)}^`;
    })
    .join("\n");
}

/** Turns a build error into a `SyntaxError` that can be sent to the parent, with the position as its frame. */
export function readableLoadError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const [first] = buildMessages(error);
  if (first === undefined) {
    const frames = userFrames(error.stack);
    if (frames.length > 0) setStack(error, frames);
    return error;
  }
  const { file, line, column } = first.position;
  const syntax = withoutFrames(() => new SyntaxError(first.message));
  setStack(syntax, [`    at module (${file}:${line}:${column})`]);
  return syntax;
}

type Positioned = BuildMessage & { readonly position: Position };

/** The build messages in the error for source code that Bun can't parse: one for each fault. */
function buildMessages(error: Error): Positioned[] {
  const all: unknown[] = error instanceof AggregateError ? error.errors : [error];
  return all.filter((one): one is Positioned => one instanceof BuildMessage && one.position !== null);
}
