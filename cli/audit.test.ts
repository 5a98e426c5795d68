import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { auditOf } from './audit.ts';

test('the policy file of the cluster is used, a mistake in it stops the server, without it the built-in one holds', async () => {
  const home = await mkdtemp(join(tmpdir(), 'audit-'));
  const bus = { publish: () => undefined };
  try {
    expect(await auditOf(home, bus)).toMatchObject({
      policy: undefined,
      file: { path: join(home, 'audit/audit.log') },
    });
    const head = 'apiVersion: audit.k8s.io/v1\nkind: Policy\n';
    await writeFile(join(home, 'audit-policy.yaml'), `${head}rules: [{level: Request}]`);
    expect((await auditOf(home, bus)).policy?.rules).toMatchObject([{ level: 'Request' }]);
    await writeFile(join(home, 'audit-policy.yaml'), `${head}rules: [{level: All}]`);
    await expect(auditOf(home, bus)).rejects.toThrow('rules[0].level: Unsupported value: "All"');
  } finally {
    await rm(home, { recursive: true });
  }
});
