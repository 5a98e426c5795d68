import { describe, expect, test } from 'vitest';
import type { PersistentVolumeClaim, Pod } from '#lib/api';
import { CLAIM_PROTECTION, plan, usesClaim } from './plan.ts';

function claim(meta: Partial<PersistentVolumeClaim['metadata']> = {}): PersistentVolumeClaim {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'c', ...meta }, spec: {} };
}

function pod(volumes: NonNullable<Pod['spec']['volumes']>, more: Partial<Pod['spec']> = {}): Pod {
  const spec = { containers: [], nodeName: 'n', volumes, ...more };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', uid: 'u' }, spec };
}

const GOING = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const NAMED = [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }];

describe('storage protection', () => {
  test('what stays is protected; what goes is released when nothing uses it', () => {
    const held = { finalizers: [CLAIM_PROTECTION] };
    expect(plan(claim(), CLAIM_PROTECTION, false)).toBe('protect');
    expect(plan(claim(held), CLAIM_PROTECTION, false)).toBe('none');
    expect(plan(claim({ ...held, ...GOING }), CLAIM_PROTECTION, true)).toBe('none');
    expect(plan(claim({ ...held, ...GOING }), CLAIM_PROTECTION, false)).toBe('release');
    expect(plan(claim(GOING), CLAIM_PROTECTION, false)).toBe('none');
  });

  test('a pod uses the claims it names once it has a node', () => {
    expect(usesClaim(pod(NAMED), claim())).toBe(true);
    expect(usesClaim(pod(NAMED, { nodeName: '' }), claim())).toBe(false);
    expect(usesClaim(pod(NAMED), claim({ name: 'other' }))).toBe(false);
  });

  test('a pod uses its own ephemeral claims until it is shut down', () => {
    const ephemeral = pod([{ name: 'v', ephemeral: {} }]);
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true };
    const own = claim({ name: 'p-v', ownerReferences: [owner] });
    expect(usesClaim(ephemeral, own)).toBe(true);
    expect(usesClaim(ephemeral, claim({ name: 'p-v' }))).toBe(false);
    const ended = { ...ephemeral, metadata: { ...ephemeral.metadata, ...GOING, deletionGracePeriodSeconds: 0 } };
    expect(usesClaim(ended, own)).toBe(false);
  });
});
