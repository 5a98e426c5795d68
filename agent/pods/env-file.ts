/**
 * Variables that a container takes from a file in an emptyDir which a container before it has written (fileKeyRef). The
 * file's writer is not trusted: it is opened without leaving the volume, must be a plain file and small.
 * Source: KEP-3721; kubernetes pkg/kubelet/util/env/env_util.go (ParseEnv), pkg/kubelet/kubelet_pods.go.
 */
import { constants, open } from 'node:fs/promises';
import { type Ctx, messageOf, readUpTo, StatusError } from '#lib/base';
import { openInside } from '../volumes/subpath.ts';
import type { PodDeps } from './deps.ts';
import type { ContainerSpec, PodObject } from './model.ts';

const FILE_BYTES_MAX = 1 << 20;

/**
 * The value of `key` in a file of `NAME='value'` lines; undefined when it has none. What stands behind the wanted key is
 * not looked at. Throws Invalid with the line.
 */
export function envFileValue(text: string, key: string): string | undefined {
  const lines = text.split('\n');
  const wrong = (line: number, why: string): StatusError =>
    new StatusError('Invalid', `invalid environment variable format at line ${line + 1}: ${why}`);
  for (let i = 0; i < lines.length; i++) {
    const line = (lines[i] ?? '').replace(/\r$/, '').replace(/^[ \t]+/, '');
    if (line === '' || line.startsWith('#')) continue;
    const equals = line.indexOf('=');
    if (equals < 0) throw wrong(i, "missing '='");
    const name = line.slice(0, equals);
    if (name.trim() === '') throw wrong(i, 'empty variable name');
    if (/[ \t]$/.test(name)) throw wrong(i, "whitespace before '=' is not allowed");
    let rest = line.slice(equals + 1);
    /* As a shell reads it: the variable is empty. */
    if (/^[ \t]/.test(rest)) {
      if (name === key) return undefined;
      continue;
    }
    if (!rest.startsWith("'")) throw wrong(i, 'value must be enclosed in single quotes');
    rest = rest.slice(1);
    const begin = i;
    const parts: string[] = [];
    for (let quote = rest.indexOf("'"); quote < 0; quote = rest.indexOf("'")) {
      parts.push(rest);
      if (++i >= lines.length)
        throw new StatusError(
          'Invalid',
          `invalid environment variable format starting at line ${begin + 1}: unclosed single quote`,
        );
      rest = lines[i] ?? '';
    }
    const quote = rest.indexOf("'");
    if (!/^[ \t]*(#.*)?\r?$/.test(rest.slice(quote + 1))) throw wrong(i, 'unexpected content after closing quote');
    if (name === key) return [...parts, rest.slice(0, quote)].join('\n');
  }
  return undefined;
}

/** By the variable's name; optional ones that there are none of are left out. Throws in the kubelet's words. */
export async function envFileValues(
  d: Pick<PodDeps, 'volumes'>,
  pod: PodObject,
  container: ContainerSpec,
  c: Ctx,
): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for (const { name, valueFrom } of container.env ?? []) {
    const ref = valueFrom?.fileKeyRef;
    if (ref === undefined) continue;
    if (!pod.spec.volumes?.some((v) => v.name === ref.volumeName))
      throw new StatusError('Invalid', `cannot find the volume "${ref.volumeName}" referenced by FileKeyRef`);
    const { hostPath } = await d.volumes.prepare({ pod, volumeName: ref.volumeName }, c);
    const value = parsed(await readInside(hostPath, ref.path), ref.key);
    if (value !== undefined && value !== '') values.set(name, value);
    else if (ref.optional !== true)
      throw new StatusError('Invalid', `environment variable key "${ref.key}" not found in file "${ref.path}"`);
  }
  return values;
}

function parsed(text: string, key: string): string | undefined {
  try {
    return envFileValue(text, key);
  } catch (e) {
    throw new StatusError('Invalid', `couldn't parse env file: ${messageOf(e)}`, { cause: e });
  }
}

async function readInside(volume: string, path: string): Promise<string> {
  const fail = (why: string, cause?: unknown): StatusError =>
    new StatusError('Invalid', `couldn't parse env file: failed to open environment variable file "${path}": ${why}`, {
      cause,
    });
  await using found = await openInside(volume, path, { canCreate: false }).catch((e: unknown) => {
    throw fail(messageOf(e), e);
  });
  if (!(await found.stat()).isFile()) throw fail('it is no regular file');
  await using file = await open(`/proc/self/fd/${found.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
  const bytes = await readUpTo(file, FILE_BYTES_MAX + 1);
  if (bytes.length > FILE_BYTES_MAX) throw fail(`it is larger than ${FILE_BYTES_MAX} bytes`);
  return bytes.toString('utf8');
}
