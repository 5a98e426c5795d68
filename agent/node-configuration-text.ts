/** The text of node.yaml, decoded: see node-configuration.ts. */
import { isAbsolute } from 'node:path/posix';
import { parse } from 'yaml';
import { StatusError } from '#lib/base';
import type { NodeConfiguration } from './node-configuration.ts';
import type { RuntimeHandler } from './runtime/handlers.ts';
import type { IsolationSettings } from './runtime/isolation/settings.ts';

type Fields = Readonly<Record<string, unknown>>;
type Mistakes = string[];

/** Throws Invalid with every mistake, or what the YAML parser says. */
export function parseNodeConfiguration(text: string, defaults: NodeConfiguration): NodeConfiguration {
  const mistakes: Mistakes = [];
  const fields = mapping(parse(text) ?? {}, 'the file', mistakes);
  const { apiVersion, kind, defaultAllowPrivilegeEscalation, runtimeHandlers, dockerApi, ...unknown } = fields;
  for (const name of Object.keys(unknown)) mistakes.push(`${name}: there is no such setting`);
  if (apiVersion !== 'config.berth.dev/v1') mistakes.push('apiVersion: must be config.berth.dev/v1');
  if (kind !== 'NodeConfiguration') mistakes.push('kind: must be NodeConfiguration');
  const d = defaults.isolation;
  const isolation: IsolationSettings = {
    ...d,
    defaultAllowPrivilegeEscalation: flag(
      defaultAllowPrivilegeEscalation,
      d.defaultAllowPrivilegeEscalation,
      'defaultAllowPrivilegeEscalation',
      mistakes,
    ),
  };
  const handlers = handlersOf(runtimeHandlers, mistakes);
  const isServed = flag(dockerApi, defaults.dockerApi, 'dockerApi', mistakes);
  if (mistakes.length > 0) throw new StatusError('Invalid', mistakes.join('\n'));
  return { isolation, runtimeHandlers: handlers, dockerApi: isServed };
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
