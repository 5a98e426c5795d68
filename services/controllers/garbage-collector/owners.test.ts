import { describe, expect, test } from 'vitest';
import { type KindInfo, Kinds, type KubeObject, kindInfo } from '#lib/api';
import { realClock, StatusError, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import { OwnerGraph } from './graph.ts';
import { Owners } from './owners.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const info: KindInfo = kindInfo(Kinds.configmaps);

function owned(): { kind: KindInfo; object: KubeObject } {
  const reference = { apiVersion: 'example.com/v1', kind: 'Widget', name: 'w', uid: 'owner' };
  const metadata = { name: 'x', namespace: 'ns', uid: 'x', ownerReferences: [reference] };
  return { kind: info, object: { apiVersion: 'v1', kind: 'ConfigMap', metadata } };
}

async function stateWhen(error: StatusError): Promise<unknown> {
  const client = { get: () => Promise.reject(error) } as unknown as Client;
  const widgets: KindInfo = { ...info, group: 'example.com', resource: 'widgets', kind: 'Widget' };
  const owners = new Owners(client, new OwnerGraph(), { byGvk: () => widgets });
  return (await owners.statesFor(owned(), c)).get('owner');
}

describe('owners', () => {
  test('an owner is absent when the server says so of it, not when its kind is not served', async () => {
    const gone = new StatusError('NotFound', 'widgets.example.com "w" not found', { details: { name: 'w' } });
    expect(await stateWhen(gone)).toBe('absent');
    const unserved = new StatusError('NotFound', 'the server could not find the requested resource');
    expect(await stateWhen(unserved)).toBe('unknown');
  });
});
