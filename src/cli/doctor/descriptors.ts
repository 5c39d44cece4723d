/** Limits on open files: every connection takes one. */
import { defaultLimits, fitToDescriptors } from "../../limits.ts";
import type { Finding } from "./finding.ts";
import { openFilesOf } from "./processes.ts";

/** A process with room for fewer connections than this gets a warning. */
const fewConnections = 512;
/** The share of its descriptors that a process may use without one. */
const usedShare = 0.85;

/** A process to look at. */
export interface Looked {
  readonly name: string;
  readonly pid: number;
}

/** Looks at processes of this host; those that this user may not look into are left out. */
export function findDescriptors(processes: readonly Looked[]): Finding[] {
  return processes.flatMap(({ name, pid }) => {
    const files = openFilesOf(pid);
    return files === undefined ? [] : faultsOf(`${name} (pid ${pid})`, files.limit, files.open);
  });
}

function faultsOf(which: string, limit: number, open: number): Finding[] {
  if (open >= limit * usedShare)
    return [
      {
        code: "descriptors-used-up",
        level: "error",
        what: `${open} of its ${limit} descriptors are in use`,
        which,
        whatToDo:
          "look for files or sockets that it doesn't close; if it needs them, raise the limit (ulimit -n) and restart it",
      },
    ];
  const { maxConnections } = fitToDescriptors(defaultLimits, limit);
  if (maxConnections >= fewConnections) return [];
  return [
    {
      code: "few-descriptors",
      level: "warning",
      what: `with ${limit} descriptors it can have ${maxConnections} connections`,
      which,
      whatToDo: "raise the limit and restart it: ulimit -n, or LimitNOFILE= of its systemd unit",
    },
  ];
}
