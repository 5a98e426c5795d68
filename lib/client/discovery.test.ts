import { expect, test } from 'vitest';
import { allKinds, discoveryOf } from '#lib/api';
import { realClock, silentLogger } from '#lib/base';
import { DiscoveredResources } from './discovery.ts';
import type { RawRequest } from './http.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

async function load(): Promise<DiscoveredResources> {
  const documents = discoveryOf(allKinds());
  const json = async (r: RawRequest): Promise<unknown> =>
    documents.aggregated(r.path === '/api' ? 'api' : 'apis', 'v2').body;
  return await DiscoveredResources.load({ json }, c);
}

test('discovery: names people use resolve as kubectl resolves them', async () => {
  const found = await load();
  const table: [string, string][] = [
    ['po', '/v1/pods'],
    ['pods', '/v1/pods'],
    ['Pod', '/v1/pods'],
    ['deploy', 'apps/v1/deployments'],
    ['deployments.apps', 'apps/v1/deployments'],
    ['deployment.v1.apps', 'apps/v1/deployments'],
    ['events', '/v1/events'],
    ['events.events.k8s.io', 'events.k8s.io/v1/events'],
    ['hpa', 'autoscaling/v2/horizontalpodautoscalers'],
    ['ing', 'networking.k8s.io/v1/ingresses'],
  ];
  for (const [text, expected] of table) {
    const r = found.resolve(text);
    expect(`${r.group}/${r.version}/${r.resource}`, text).toBe(expected);
  }
  expect(() => found.resolve('nothing')).toThrow('the server doesn\'t have a resource type "nothing"');
  expect(found.findKind('apps/v1', 'Deployment')?.resource).toBe('deployments');
  expect(found.category('all').map((r) => r.resource)).toContain('daemonsets');
  expect(found.category('nothing')).toEqual([]);
});
