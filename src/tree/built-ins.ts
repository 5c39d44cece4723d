/**
 * The functions that every actor serves as `furrow.<name>`, whatever modules it has. This file and all that it imports are
 * loaded with the first call of one: an actor that isn't looked at has none of it. The policy applies as to any call.
 *
 * Roots and children name this file, so nothing that it imports may import them: it reaches nurseries through `Part`s.
 */
import type { Runtime } from "../actor/runtime.ts";
import { inspection } from "../inspect/inspection.ts";
import type { BuiltIn } from "../rpc/callee/dispatch.ts";
import { familyOf } from "./family.ts";
import { steering } from "./steering.ts";

export function builtIns(runtime: Runtime): Readonly<Record<string, BuiltIn>> {
  return { ...inspection(runtime, familyOf(runtime)), ...steering(runtime) };
}
