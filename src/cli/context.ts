/** What a command works with: its words, its output, and a client that opens with the first use. */
import { resolve } from "node:path";

import type { Security } from "../actor/security.ts";
import type { Client, ClientOptions } from "../tree/client.ts";
import type { AddressInput } from "../transport/address.ts";
import type { ParsedArguments } from "./arguments.ts";
import { commandList } from "./command-list.ts";
import type { CommandContext, Flags, Terminal } from "./command.ts";
import { Exit, exitCodeOf } from "./exit.ts";
import type { Output } from "./output.ts";

/** Disposing it closes the client. */
export function openContext(
  parsed: ParsedArguments,
  output: Output,
  signal: AbortSignal,
): CommandContext & AsyncDisposable {
  return new Context(parsed, output, signal);
}

class Context implements CommandContext, AsyncDisposable {
  readonly args: readonly string[];
  readonly rest: readonly string[];
  readonly flags: Flags;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
  readonly registryAddrs: readonly AddressInput[] | undefined;
  readonly security: Security | undefined;
  readonly terminal: Terminal;
  readonly commands: CommandContext["commands"] = commandList;
  readonly #output: Output;
  #client: Promise<Client> | undefined;

  constructor({ args, rest, flags }: ParsedArguments, output: Output, signal: AbortSignal) {
    this.args = args;
    this.rest = rest;
    this.flags = flags;
    this.json = flags["json"] === true;
    this.quiet = flags["quiet"] === true;
    this.signal = signal;
    this.registryAddrs = flags["registry"] as readonly AddressInput[] | undefined;
    const file = flags["token-file"] as string | undefined;
    this.security = file === undefined ? undefined : { secret: { file: resolve(file) } };
    this.terminal = output;
    this.#output = output;
  }

  async client(): Promise<Client> {
    try {
      return await (this.#client ??= this.#open());
    } catch (error) {
      this.#client = undefined; // there may be a registrar the next time
      throw error;
    }
  }

  async out(text: string): Promise<void> {
    await this.#output.out(text);
  }

  async lines(lines: readonly string[]): Promise<void> {
    await this.out(lines.map((line) => `${line}\n`).join(""));
  }

  async err(text: string): Promise<void> {
    await this.#output.err(text);
  }

  async error(error: unknown): Promise<void> {
    await this.#output.error(error);
  }

  async failures(errors: readonly Error[]): Promise<number> {
    for (const error of errors) await this.error(error);
    return errors[0] === undefined ? Exit.ok : exitCodeOf(errors[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    await client?.close();
  }

  async #open(): Promise<Client> {
    const { openClient } = await import("../tree/client.ts");
    const { registryAddrs, security, signal } = this;
    const options: ClientOptions = {
      signal,
      ...(registryAddrs && { registryAddrs }),
      ...(security && { security }),
    };
    return await openClient(options);
  }
}
