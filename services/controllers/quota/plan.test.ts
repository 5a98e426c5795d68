import { describe, expect, test } from 'vitest';
import { amountsOf, type ResourceQuota } from '#lib/api';
import { plan } from './plan.ts';

function quota(hard: Record<string, string>, status?: ResourceQuota['status']): ResourceQuota {
  return {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'q', namespace: 'n' },
    spec: { hard },
    ...(status === undefined ? {} : { status }),
  };
}

const HARD = { pods: '2', cpu: '1' };

describe('quota plan', () => {
  test('a new quota gets its status at once', () => {
    const counted = amountsOf({ pods: '1', cpu: '0' });
    expect(plan({ quota: quota(HARD), counted, isQuiet: false })).toEqual({
      status: { hard: { cpu: '1', pods: '2' }, used: { cpu: '0', pods: '1' } },
      mustLookAgain: false,
    });
  });

  test('what is right is left alone, whatever the notation', () => {
    const status = { hard: { pods: '2', cpu: '1000m' }, used: { pods: '1', cpu: '1' } };
    const counted = amountsOf({ pods: '1', cpu: '1000m' });
    expect(plan({ quota: quota(HARD, status), counted, isQuiet: true })).toEqual({
      status: undefined,
      mustLookAgain: false,
    });
  });

  test('law: nothing is lowered while charges may be on their way; more is believed at once', () => {
    const status = { hard: HARD, used: { pods: '2', cpu: '500m' } };
    const counted = amountsOf({ pods: '1', cpu: '700m' });
    expect(plan({ quota: quota(HARD, status), counted, isQuiet: false })).toEqual({
      status: { hard: { cpu: '1', pods: '2' }, used: { cpu: '700m', pods: '2' } },
      mustLookAgain: true,
    });
    expect(plan({ quota: quota(HARD, status), counted, isQuiet: true })).toEqual({
      status: { hard: { cpu: '1', pods: '2' }, used: { cpu: '700m', pods: '1' } },
      mustLookAgain: false,
    });
  });

  test('limits that went lose their usage; names that no kind counts for keep it', () => {
    const status = { hard: { ...HARD, 'x.example.com/y': '1' }, used: { pods: '1', cpu: '1', 'x.example.com/y': '1' } };
    const next = quota({ pods: '2', 'x.example.com/y': '1' }, status);
    expect(plan({ quota: next, counted: amountsOf({ pods: '1' }), isQuiet: true }).status).toEqual({
      hard: { pods: '2', 'x.example.com/y': '1' },
      used: { pods: '1', 'x.example.com/y': '1' },
    });
  });
});
