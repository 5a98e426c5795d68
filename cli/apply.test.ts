/** Over a whole API server: objects of kinds that no table knows. */
import { expect, test } from 'vitest';
import { testContext as c, startTestServer } from '../services/apiserver/testing/server.ts';
import { applyManifests } from './apply.ts';

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { size: { type: 'integer' } } } },
      },
    ],
  },
};

test('a definition and an object of it in one file; a kind that nobody defined is named', async () => {
  await using server = await startTestServer();
  const widget = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'a' }, size: 3 };
  const told: string[] = [];
  await applyManifests(server.client, [definition, widget], {}, c, (a) =>
    told.push(`${a.kind.kind} ${a.name} ${a.outcome}`),
  );
  expect(told).toEqual(['CustomResourceDefinition widgets.example.com created', 'Widget a created']);
  const other = { ...widget, apiVersion: 'example.com/v2' };
  await expect(applyManifests(server.client, [other], {}, c)).rejects.toThrow('no kind "Widget" in version');
});
