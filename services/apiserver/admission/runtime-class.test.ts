import { describe, expect, test } from 'vitest';
import { Kinds, type Pod, type RuntimeClass } from '#lib/api';
import { messageOf } from '#lib/base';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer } from '../testing/server.ts';
import { covers, mergeTolerations } from './tolerations.ts';

const NS = 'default';

async function pod(client: Client, name: string, spec: Partial<Pod['spec']>): Promise<Pod['spec']> {
  const containers = [{ name: 'a', image: 'x' }];
  const made = { metadata: { name, namespace: NS }, spec: { containers, ...spec } };
  return (await client.create<Pod>(Kinds.pods, made, c)).spec as Pod['spec'];
}

async function gvisor(client: Client): Promise<void> {
  const scheduling = { nodeSelector: { gvisor: 'yes' }, tolerations: [{ key: 'gvisor', operator: 'Exists' }] };
  const overhead = { podFixed: { cpu: '100m' } };
  const made = { metadata: { name: 'gvisor' }, handler: 'runsc', overhead, scheduling };
  await client.create<RuntimeClass>(Kinds.runtimeclasses, made, c);
}

describe('runtime class admission (plugin/pkg/admission/runtimeclass)', () => {
  test('a pod gets overhead, node selector and tolerations of its class', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await gvisor(client);
    const spec = await pod(client, 'p', { runtimeClassName: 'gvisor', nodeSelector: { zone: 'a' } });
    expect(spec.overhead).toEqual({ cpu: '100m' });
    expect(spec.nodeSelector).toEqual({ zone: 'a', gvisor: 'yes' });
    expect(spec.tolerations).toContainEqual({ key: 'gvisor', operator: 'Exists' });
  });

  test('an unknown class, another overhead, overhead without class and a conflicting selector are refused', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await gvisor(client);
    const refused = (spec: Partial<Pod['spec']>): Promise<string> =>
      pod(client, 'p', spec).then(() => 'stored', messageOf);
    expect(await refused({ runtimeClassName: 'kata' })).toBe(
      'pods "p" is forbidden: pod rejected: RuntimeClass "kata" not found',
    );
    expect(await refused({ runtimeClassName: 'gvisor', overhead: { cpu: '1' } })).toBe(
      `pods "p" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead`,
    );
    expect(await refused({ overhead: { cpu: '1' } })).toBe(
      'pods "p" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead',
    );
    expect(await refused({ runtimeClassName: 'gvisor', nodeSelector: { gvisor: 'no' } })).toBe(
      'pods "p" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[gvisor] = yes; pod.spec.nodeSelector[gvisor] = no',
    );
  });

  test('tolerations that another covers are left out (pkg/util/tolerations)', () => {
    const narrow = { key: 'a', operator: 'Equal', value: 'x', effect: 'NoSchedule' };
    const wide = { key: 'a', operator: 'Exists' };
    expect(mergeTolerations([narrow], [wide])).toEqual([wide]);
    expect(mergeTolerations([wide], [narrow])).toEqual([wide]);
    expect(mergeTolerations([narrow], [narrow])).toEqual([narrow]);
    const short = { key: 'a', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 3 };
    const long = { ...short, tolerationSeconds: 9 };
    expect(covers(long, short)).toBe(true);
    expect(covers(short, long)).toBe(false);
    expect(covers({ operator: 'Exists' }, narrow)).toBe(true);
  });
});
