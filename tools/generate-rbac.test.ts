import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { rbacModule } from './generate-rbac.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const facts = join(root, '../shared/data/kubernetes-rbac-defaults.json');
const made = readFileSync(join(root, 'services/apiserver/bootstrap/gen/rbac-defaults.ts'), 'utf8');

describe('generate-rbac', () => {
  test.runIf(existsSync(facts))('regenerating changes nothing (capability: the fact tables of ../shared)', () => {
    expect(rbacModule(readFileSync(facts, 'utf8')) === made).toBe(true);
  });

  test('what only OpenShift has is left out', () => {
    const row = (name: string): object => ({ name, rules: [] });
    const names = ['view', 'system:openshift:public-info-viewer', 'system:controller:service-ca-cert-publisher'];
    const text = rbacModule(JSON.stringify({ 'cluster-roles': names.map(row) }));
    expect(text.match(/"name":"[^"]*"/g)).toEqual(['"name":"view"']);
    expect(made).not.toMatch(/openshift|service-ca/);
  });
});
