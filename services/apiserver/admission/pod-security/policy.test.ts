import { describe, expect, test } from 'vitest';
import { policyOf } from './policy.ts';

const P = 'pod-security.kubernetes.io/';

describe('policy of a namespace (pod-security-admission/api/helpers.go)', () => {
  test('no labels: privileged', () => {
    const unlimited = { level: 'privileged', version: 'latest' };
    expect(policyOf(undefined)).toEqual({
      policy: { enforce: unlimited, audit: unlimited, warn: unlimited },
      errors: [],
    });
  });

  test('what is enforced is warned about, at its version, unless warn says otherwise', () => {
    const enforced = { [`${P}enforce`]: 'baseline', [`${P}enforce-version`]: 'v1.30' };
    expect(policyOf(enforced).policy.warn).toEqual({ level: 'baseline', version: 30 });
    expect(policyOf({ ...enforced, [`${P}warn-version`]: 'v1.31' }).policy.warn).toEqual({
      level: 'baseline',
      version: 31,
    });
    expect(policyOf({ ...enforced, [`${P}warn`]: 'privileged' }).policy.warn.level).toBe('privileged');
  });

  test('what cannot be read: restricted to enforce, privileged to warn and audit', () => {
    const { policy, errors } = policyOf({ [`${P}enforce`]: 'x', [`${P}warn`]: 'y', [`${P}audit-version`]: 'v1.01' });
    expect(policy.enforce.level).toBe('restricted');
    expect(policy.warn.level).toBe('privileged');
    expect(errors).toEqual([
      {
        type: 'Invalid',
        field: `metadata.labels[${P}enforce]`,
        value: 'x',
        detail: 'must be one of privileged, baseline, restricted',
      },
      {
        type: 'Invalid',
        field: `metadata.labels[${P}audit-version]`,
        value: 'v1.01',
        detail: 'must be "latest" or "v1.x"',
      },
      {
        type: 'Invalid',
        field: `metadata.labels[${P}warn]`,
        value: 'y',
        detail: 'must be one of privileged, baseline, restricted',
      },
    ]);
  });
});
