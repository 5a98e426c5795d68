import { expect, test } from 'vitest';
import type { Lease } from '#lib/api';
import { holderOf } from './holders.ts';

const NOW = Date.parse('2026-01-01T00:00:10Z');

function lease(session: string | undefined, spec: Lease['spec'] = {}): Lease {
  const annotations = {
    ...(session === undefined ? {} : { 'berth.dev/session': session }),
    'berth.dev/gateway': '10.0.0.1:6444',
  };
  const full = {
    holderIdentity: '10.0.0.1:6443',
    renewTime: '2026-01-01T00:00:00Z',
    leaseDurationSeconds: 15,
    ...spec,
  };
  const metadata = { name: 'n', namespace: 'kube-node-lease', annotations };
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: full };
}

const HOLDER = { api: '10.0.0.1:6443', gateway: '10.0.0.1:6444' };

test.each([
  ['connected and fresh', lease('connected'), HOLDER],
  ['connected and run out', lease('connected', { leaseDurationSeconds: 10 }), undefined],
  ['silent', lease('silent', { leaseDurationSeconds: 1 }), HOLDER],
  ['without a session', lease(undefined), undefined],
  ['without a holder', lease('connected', { holderIdentity: undefined }), undefined],
  ['without a time', lease('connected', { renewTime: undefined }), undefined],
  ['none', undefined, undefined],
])('holderOf: a lease that is %s', (_what, given, expected) => {
  expect(holderOf(given, NOW)).toEqual(expected);
});
