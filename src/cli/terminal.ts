/**
 * What is known of a terminal. `node:tty` and `process.stdout` would tell, but either takes longer to load than most commands
 * run; this asks what they ask, and them only if that's missing.
 */

/** Bun's, as `node:tty` uses it. */
interface TtyBinding {
  isTTY(fd: number): boolean;
  readonly TTY: new (fd: number) => { getWindowSize(into: [columns: number, rows: number]): boolean };
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** For a pseudo-terminal that nobody gave a size. */
const usualSize: TerminalSize = { columns: 80, rows: 24 };

function binding(): TtyBinding | undefined {
  try {
    return (process as unknown as { binding(name: string): TtyBinding }).binding("tty_wrap");
  } catch {
    return undefined;
  }
}

export function isTerminal(fd: number): boolean {
  const { isTTY = process.getBuiltinModule("node:tty").isatty } = binding() ?? {};
  return isTTY(fd);
}

/** The size of a terminal as it is now. */
export function terminalSize(fd: number): TerminalSize {
  const size: [columns: number, rows: number] = [0, 0];
  const { TTY: Tty } = binding() ?? {};
  if (Tty === undefined) size.splice(0, 2, process.stdout.columns, process.stdout.rows);
  else new Tty(fd).getWindowSize(size);
  return { columns: size[0] || usualSize.columns, rows: size[1] || usualSize.rows };
}

/** How a style begins and ends, in a terminal. */
const styles = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;
export type Style = keyof typeof styles;

/** The text in that style. */
export function styled(style: Style, text: string): string {
  const [begin, end] = styles[style];
  return `\u001B[${begin}m${text}\u001B[${end}m`;
}
