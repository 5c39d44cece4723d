/**
 * Paths, as far as the start of a child needs them: loading `node:path` would take a twentieth of it (row `spawn.packed`).
 * They are absolute, and stay as they are.
 */

/** The folder that a file or folder is in. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** The path of what has this name in a folder. */
export function pathIn(folder: string, name: string): string {
  return folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}
