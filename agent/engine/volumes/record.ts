/** What is kept of a volume, and what a request for one may say. Pure. Source: moby volume/local/local.go, local_unix.go. */
import { asObject, asString, asStringMap, asStrings, parseJsonObject } from '#lib/oci';
import { badParameter } from '../http/contract.ts';

export const ANONYMOUS_LABEL = 'com.docker.volume.anonymous';
export const LOCAL_DRIVER = 'local';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const NAME_BYTES_MAX = 255;
const OPTIONS = ['type', 'o', 'device'];
const FORMAT_VERSION = 1;

export interface VolumeRecord {
  readonly name: string;
  readonly createdAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  /** Containers for which its device is mounted; [] where there is none. */
  readonly mountedFor: readonly string[];
}

export function checkName(name: string): void {
  if (name.length === 1)
    throw badParameter('volume name is too short, names should be at least two alphanumeric characters');
  if (!NAME.test(name) || name.length > NAME_BYTES_MAX)
    throw badParameter(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
}

/** All of type and device, or none; o only beside them. */
export function checkOptions(options: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(options)) {
    if (!OPTIONS.includes(name)) throw badParameter(`invalid option: "${name}"`);
    if (value.includes('\0')) throw badParameter(`invalid value of option "${name}"`);
  }
  if (Object.keys(options).length === 0) return;
  for (const name of ['device', 'type'])
    if (options[name] === undefined) throw badParameter(`missing required option: "${name}"`);
}

/** Its mountpoint is a file system of its own. */
export function needsMount(options: Readonly<Record<string, string>>): boolean {
  return (options['device'] ?? '') !== '' || (options['type'] ?? '') !== '';
}

/** Arguments of mount(8). */
export function mountArguments(options: Readonly<Record<string, string>>, target: string): string[] {
  const { type = '', o = '', device = '' } = options as { type?: string; o?: string; device?: string };
  return [...(type === '' ? [] : ['-t', type]), ...(o === '' ? [] : ['-o', o]), '--', device, target];
}

/** Of what mount(8) said. */
export function withoutPassword(text: string, options: Readonly<Record<string, string>>): string {
  const password = /(?:^|,)password=([^,]+)/.exec(options['o'] ?? '')?.[1];
  return password === undefined ? text : text.replaceAll(password, '********');
}

export function encodeVolume(v: VolumeRecord): string {
  return JSON.stringify({ version: FORMAT_VERSION, ...v });
}

/** Throws for what is no record. */
export function decodeVolume(bytes: Uint8Array): VolumeRecord {
  const o = parseJsonObject(bytes, 'volume record');
  const { createdAtMs, version } = o as { createdAtMs?: unknown; version?: unknown };
  if (version !== FORMAT_VERSION || typeof createdAtMs !== 'number') throw new TypeError('not a record of a volume');
  return {
    name: asString(o['name'], 'name'),
    createdAtMs,
    labels: asStringMap(asObject(o['labels'], 'labels'), 'labels'),
    options: asStringMap(asObject(o['options'], 'options'), 'options'),
    mountedFor: asStrings(o['mountedFor'], 'mountedFor'),
  };
}
