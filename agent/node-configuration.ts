/**
 * The settings of this node that are files rather than flags: `<node's home>/node.yaml` (config.berth.dev/v1
 * NodeConfiguration), without which all have their defaults. Read once, at the agent's start. Names and meanings are those of
 * the kubelet's KubeletConfiguration where it has them. docs/howto/configure-a-node.md lists them.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsolute } from 'node:path/posix';
import { messageOf, StatusError } from '#lib/base';
import { unsafeSysctlMistake } from './admission/sysctls.ts';
import type { RuntimeHandler } from './runtime/handlers.ts';
import { hostSecurity } from './runtime/isolation/host.ts';
import { defaultIsolation, type IsolationSettings } from './runtime/isolation/settings.ts';

export interface NodeConfiguration {
  readonly isolation: IsolationSettings;
  /** OCI runtimes that RuntimeClasses may name, besides crun, runc and the node's default. */
  readonly runtimeHandlers: readonly RuntimeHandler[];
}

type Fields = Readonly<Record<string, unknown>>;
type Mistakes = string[];

/** Throws Invalid that names the file and every mistake in it: a node must not run with other settings than it was told. */
export async function readNodeConfiguration(home: string): Promise<NodeConfiguration> {
  const path = join(home, 'node.yaml');
  const defaults: NodeConfiguration = {
    isolation: defaultIsolation({ seccompFolder: join(home, 'seccomp'), host: await hostSecurity() }),
    runtimeHandlers: [],
  };
  const text = await readFile(path, 'utf8').catch((e: unknown) => {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw new StatusError('Invalid', `cannot read ${path}: ${messageOf(e)}`, { cause: e });
  });
  if (text === undefined) return defaults;
  try {
    /* Most nodes have no such file: the parser's memory is for those that do. */
    const { parse } = await import('yaml');
    return nodeConfigurationOf(parse(text) ?? {}, defaults);
  } catch (e) {
    throw new StatusError('Invalid', `${path}: ${messageOf(e)}`, { cause: e });
  }
}

function nodeConfigurationOf(value: unknown, defaults: NodeConfiguration): NodeConfiguration {
  const mistakes: Mistakes = [];
  const fields = mapping(value, 'the file', mistakes);
  const { apiVersion, kind, seccompDefault, defaultAllowPrivilegeEscalation, allowedUnsafeSysctls, ...more } = fields;
  const { runtimeHandlers, ...unknown } = more;
  for (const name of Object.keys(unknown)) mistakes.push(`${name}: there is no such setting`);
  if (apiVersion !== 'config.berth.dev/v1') mistakes.push('apiVersion: must be config.berth.dev/v1');
  if (kind !== 'NodeConfiguration') mistakes.push('kind: must be NodeConfiguration');
  const d = defaults.isolation;
  const sysctls = texts(allowedUnsafeSysctls, 'allowedUnsafeSysctls', mistakes);
  for (const s of sysctls) {
    const mistake = unsafeSysctlMistake(s);
    if (mistake !== undefined) mistakes.push(`allowedUnsafeSysctls: ${mistake}`);
  }
  const isolation: IsolationSettings = {
    ...d,
    seccompDefault: flag(seccompDefault, d.seccompDefault, 'seccompDefault', mistakes),
    defaultAllowPrivilegeEscalation: flag(
      defaultAllowPrivilegeEscalation,
      d.defaultAllowPrivilegeEscalation,
      'defaultAllowPrivilegeEscalation',
      mistakes,
    ),
    allowedUnsafeSysctls: sysctls,
  };
  const handlers = handlersOf(runtimeHandlers, mistakes);
  if (mistakes.length > 0) throw new StatusError('Invalid', mistakes.join('\n'));
  return { isolation, runtimeHandlers: handlers };
}

function handlersOf(value: unknown, mistakes: Mistakes): readonly RuntimeHandler[] {
  const handlers = list(value, 'runtimeHandlers', mistakes).map((item, i) => {
    const at = `runtimeHandlers[${i}]`;
    const { name, path, arguments: given, ...unknown } = mapping(item, at, mistakes);
    for (const key of Object.keys(unknown)) mistakes.push(`${at}.${key}: there is no such setting`);
    const isName = typeof name === 'string' && name.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name);
    if (!isName) mistakes.push(`${at}.name: must be a DNS label, as the handler of a RuntimeClass`);
    if (typeof path !== 'string' || !isAbsolute(path)) mistakes.push(`${at}.path: must be an absolute path`);
    return { name: String(name), path: String(path), arguments: texts(given, `${at}.arguments`, mistakes) };
  });
  const names = handlers.map((h) => h.name);
  for (const n of new Set(names.filter((n, i) => names.indexOf(n) !== i)))
    mistakes.push(`runtimeHandlers: ${n} is named twice`);
  return handlers;
}

function mapping(value: unknown, at: string, mistakes: Mistakes): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  mistakes.push(`${at}: must be a mapping`);
  return {};
}

function list(value: unknown, at: string, mistakes: Mistakes): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  mistakes.push(`${at}: must be a list`);
  return [];
}

function texts(value: unknown, at: string, mistakes: Mistakes): readonly string[] {
  return list(value, at, mistakes).flatMap((x, i) => {
    if (typeof x === 'string') return [x];
    mistakes.push(`${at}[${i}]: must be a text`);
    return [];
  });
}

function flag(value: unknown, otherwise: boolean, at: string, mistakes: Mistakes): boolean {
  if (value === undefined) return otherwise;
  if (typeof value === 'boolean') return value;
  mistakes.push(`${at}: must be true or false`);
  return otherwise;
}
