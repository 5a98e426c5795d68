/**
 * The settings of this node that are files rather than flags: `<node's home>/node.yaml` (config.berth.dev/v1
 * NodeConfiguration), without which all have their defaults: what the kubelet has no name for. Read once, at the agent's start.
 * docs/howto/configure-a-node.md lists them.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, StatusError } from '#lib/base';
import type { RuntimeHandler } from './runtime/handlers.ts';
import { hostSecurity } from './runtime/isolation/host.ts';
import { defaultIsolation, type IsolationSettings } from './runtime/isolation/settings.ts';

export interface NodeConfiguration {
  readonly isolation: IsolationSettings;
  /** OCI runtimes that RuntimeClasses may name, besides crun, runc and the node's default. */
  readonly runtimeHandlers: readonly RuntimeHandler[];
  /** The node serves the Docker Engine API on a socket. */
  readonly dockerApi: boolean;
}

/** Throws Invalid that names the file and every mistake in it: a node must not run with other settings than it was told. */
export async function readNodeConfiguration(home: string): Promise<NodeConfiguration> {
  const path = join(home, 'node.yaml');
  const defaults = await defaultNodeConfiguration(home);
  const text = await readFile(path, 'utf8').catch((e: unknown) => {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw new StatusError('Invalid', `cannot read ${path}: ${messageOf(e)}`, { cause: e });
  });
  if (text === undefined) return defaults;
  try {
    /* Most nodes have no such file: the parser's memory is for those that do. */
    const { parseNodeConfiguration } = await import('./node-configuration-text.ts');
    return parseNodeConfiguration(text, defaults);
  } catch (e) {
    throw new StatusError('Invalid', `${path}: ${messageOf(e)}`, { cause: e });
  }
}

export async function defaultNodeConfiguration(home: string): Promise<NodeConfiguration> {
  const isolation = defaultIsolation({ seccompFolder: join(home, 'seccomp'), host: await hostSecurity() });
  return { isolation, runtimeHandlers: [], dockerApi: true };
}
