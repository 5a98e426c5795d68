import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DEFAULT_NODE_SETTINGS } from '../agent/resources/node-settings.ts';
import { nodeConfigurationPath, readNodeSettings } from './node-configuration.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'berth-node-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const HEAD = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

test("a node's settings: kubelet.yaml in its home, or the file that --config names, which must be there", async () => {
  expect(await readNodeSettings(home)).toEqual(DEFAULT_NODE_SETTINGS);
  await writeFile(nodeConfigurationPath(home), `${HEAD}podPidsLimit: 7`);
  expect((await readNodeSettings(home)).podPidsLimit).toBe(7);
  const named = join(home, 'other.yaml');
  await expect(readNodeSettings(home, named)).rejects.toMatchObject({ kind: 'Invalid' });
  await writeFile(named, `${HEAD}podPidsLimit: 8`);
  expect((await readNodeSettings(home, named)).podPidsLimit).toBe(8);
});

test('a mistake names the file and the field', async () => {
  await writeFile(nodeConfigurationPath(home), `${HEAD}kubeReserved: {memory: much}`);
  await expect(readNodeSettings(home)).rejects.toThrow(
    `${nodeConfigurationPath(home)}: the kubelet configuration is not valid: kubeReserved[memory]: Invalid value: "much"`,
  );
});
