/**
 * The settings of one node: `kubelet.yaml` in its home (kubelet.config.k8s.io/v1beta1 KubeletConfiguration), or the file that
 * `--config` names. Read at the agent's start.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isKind, messageOf, StatusError } from '#lib/base';
import { DEFAULT_NODE_SETTINGS, type NodeSettings, parseNodeSettings } from '../agent/resources/node-settings.ts';

export function nodeConfigurationPath(home: string): string {
  return join(home, 'kubelet.yaml');
}

/** Throws Invalid that names the file and every mistake in it; a file that was named must be there. */
export async function readNodeSettings(home: string, named?: string): Promise<NodeSettings> {
  const path = named ?? nodeConfigurationPath(home);
  try {
    return await parseNodeSettings(await readFile(path, 'utf8'));
  } catch (e) {
    if (named === undefined && e instanceof Error && 'code' in e && e.code === 'ENOENT') return DEFAULT_NODE_SETTINGS;
    const what = isKind(e, 'BadRequest') ? '' : 'cannot read it: ';
    throw new StatusError('Invalid', `${path}: ${what}${messageOf(e)}`, { cause: e });
  }
}
