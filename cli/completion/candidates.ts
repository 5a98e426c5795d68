/**
 * What could stand where the cursor is: commands, options and their values, kinds, names of objects. The commands come from
 * commander's own tree, so that a new command completes without a word here; names come from a `Lookup`.
 */
import type { Command, Option } from 'commander';
import type { AccessOptions } from '../client/access.ts';

export interface Candidate {
  readonly word: string;
  readonly description?: string;
}

/** Asks the API; everything that fails gives nothing, for a shell has no place for errors. */
export interface Lookup {
  resources(o: AccessOptions): Promise<readonly Candidate[]>;
  /** Of a kind as people write it: `po`, `deployments.apps`. */
  names(kind: string, o: AccessOptions): Promise<readonly string[]>;
  contexts(o: AccessOptions): Promise<readonly string[]>;
  containers(pod: string, o: AccessOptions): Promise<readonly string[]>;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** The shell should offer files. */
  readonly files: boolean;
}

const NOTHING: Completion = { candidates: [], files: false };
const FILES: Completion = { candidates: [], files: true };

interface Line {
  readonly command: Command;
  readonly operands: readonly string[];
  readonly access: AccessOptions;
  /** The option that the current word is the value of. */
  readonly pending: Option | undefined;
  /** Behind `--`: a command line of the container. */
  readonly isBehindDashes: boolean;
}

/** `words`: behind `berth`; the last one is being written and may be ''. */
export async function complete(root: Command, words: readonly string[], lookup: Lookup): Promise<Completion> {
  const current = words.at(-1) ?? '';
  const line = parseLine(root, words.slice(0, -1));
  if (line.isBehindDashes) return NOTHING;
  const found =
    line.pending !== undefined
      ? await ofOption(line, line.pending, lookup)
      : current.startsWith('-')
        ? { candidates: optionsOf(line.command), files: false }
        : await ofOperand(line, current, lookup);
  return { ...found, candidates: found.candidates.filter((x) => x.word.startsWith(current)) };
}

function parseLine(root: Command, words: readonly string[]): Line {
  let command = root;
  const operands: string[] = [];
  const values: Record<string, string> = {};
  let pending: Option | undefined;
  for (const word of words) {
    if (pending !== undefined) {
      values[pending.attributeName()] = word;
      pending = undefined;
    } else if (word === '--') return { command, operands, access: values, pending, isBehindDashes: true };
    else if (word.startsWith('-') && word !== '-') pending = optionOf(command, word, values);
    else {
      const below = operands.length === 0 ? subcommandsOf(command).find((x) => x.name() === word) : undefined;
      if (below === undefined) operands.push(word);
      else command = below;
    }
  }
  return { command, operands, access: values, pending, isBehindDashes: false };
}

/** The option that waits for its value; `--name=value` does not. */
function optionOf(command: Command, word: string, values: Record<string, string>): Option | undefined {
  const at = word.indexOf('=');
  const name = at < 0 ? word : word.slice(0, at);
  // -it: only the last of several letters can take a value.
  const short = /^-[a-zA-Z]{2,}$/.test(name) ? `-${name.at(-1)}` : name;
  const option = command.options.find((o) => o.long === name || o.short === short);
  if (option === undefined || !option.required) return undefined;
  if (at < 0) return option;
  values[option.attributeName()] = word.slice(at + 1);
  return undefined;
}

function subcommandsOf(command: Command): readonly Command[] {
  return command.commands.filter((x) => !x.name().startsWith('__'));
}

function optionsOf(command: Command): Candidate[] {
  const own = command.options
    .filter((o) => !o.hidden)
    .map((o) => ({ word: o.long ?? o.short ?? '', description: o.description }));
  return [...own, { word: '--help', description: 'display help' }];
}

const VALUES: Readonly<Record<string, readonly string[]>> = {
  output: ['wide', 'yaml', 'json', 'name'],
  cascade: ['background', 'foreground', 'orphan'],
  runtime: ['auto', 'crun', 'runc'],
  networkMode: ['vxlan', 'routes'],
  logLevel: ['debug', 'info', 'warn', 'error'],
};
const FILE_OPTIONS = /file|folder/;

async function ofOption(line: Line, option: Option, lookup: Lookup): Promise<Completion> {
  const name = option.attributeName();
  const known = VALUES[name];
  if (known !== undefined) return plain(known);
  if (name === 'namespace') return plain(await lookup.names('namespaces', line.access));
  if (name === 'context') return plain(await lookup.contexts(line.access));
  if (name === 'container' && line.operands[0] !== undefined)
    return plain(await lookup.containers(line.operands[0], line.access));
  return FILE_OPTIONS.test(option.flags) ? FILES : NOTHING;
}

async function ofOperand(line: Line, current: string, lookup: Lookup): Promise<Completion> {
  const { command, operands, access } = line;
  const below = subcommandsOf(command);
  if (below.length > 0 && operands.length === 0)
    return { candidates: below.map((x) => ({ word: x.name(), description: x.description() })), files: false };
  switch (command.name()) {
    case 'get':
    case 'delete':
      return await ofObjects(operands, current, access, lookup);
    case 'logs':
    case 'exec':
      if (operands.length > 0) return NOTHING;
      if (current.includes('/')) return await ofObjects([], current, access, lookup);
      return plain([...(await lookup.names('pods', access)), 'deploy/', 'pod/']);
    case 'completion':
      return operands.length === 0 ? plain(['bash', 'zsh', 'fish']) : NOTHING;
    default:
      return NOTHING;
  }
}

/** `po`, `po NAME`, `po/NAME`, `po,sv`. */
async function ofObjects(
  operands: readonly string[],
  current: string,
  access: AccessOptions,
  lookup: Lookup,
): Promise<Completion> {
  const slash = current.indexOf('/');
  if (slash > 0) {
    const kind = current.slice(0, slash);
    return plain((await lookup.names(kind, access)).map((n) => `${kind}/${n}`));
  }
  const [kind] = operands;
  if (kind?.includes('/') === true) return NOTHING;
  if (kind !== undefined) {
    const names = await lookup.names(kind, access);
    return plain(names.filter((n) => !operands.includes(n)));
  }
  const before = current.slice(0, current.lastIndexOf(',') + 1);
  const kinds = await lookup.resources(access);
  return { candidates: kinds.map((k) => ({ ...k, word: `${before}${k.word}` })), files: false };
}

function plain(words: readonly string[]): Completion {
  return { candidates: words.map((word) => ({ word })), files: false };
}
