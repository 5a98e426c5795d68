/**
 * `tsx tools/generate-rbac.ts [dataDir]`: rewrites services/apiserver/bootstrap/gen/rbac-defaults.ts, the default roles and bindings
 * of a cluster, from ../shared/data/kubernetes-rbac-defaults.json. What only OpenShift adds is left out.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Row {
  name: string;
  namespace?: string;
  subjects?: { kind: string; name: string; namespace?: string; apiGroup?: string }[];
}

const LISTS = {
  clusterRoles: ['cluster-roles', 'controller-roles'],
  clusterRoleBindings: ['cluster-role-bindings', 'controller-role-bindings'],
  roles: ['namespace-roles'],
  roleBindings: ['namespace-role-bindings'],
} as const;

/** Not in Kubernetes' own pkg/auth/authorizer/rbac/bootstrappolicy. */
const FOREIGN = new Set(['system:controller:service-ca-cert-publisher']);

const root = fileURLToPath(new URL('..', import.meta.url));

/** The text of services/apiserver/bootstrap/gen/rbac-defaults.ts. */
export function rbacModule(json: string): string {
  const data = JSON.parse(json) as Record<string, Row[]>;
  const parts = Object.entries(LISTS).map(([name, sources]) => {
    const rows = sources
      .flatMap((s) => data[s] ?? [])
      .filter((r) => !r.name.startsWith('system:openshift:') && !FOREIGN.has(r.name))
      .map((r) => `    ${JSON.stringify(r)},`);
    return `  ${name}: [\n${rows.join('\n')}\n  ],`;
  });
  return [
    '// Made by tools/generate-rbac.ts from the fact tables; do not edit.',
    "import type { RbacDefaults } from '../rbac-reconcile.ts';",
    '',
    'export const RBAC_DEFAULTS: RbacDefaults = {',
    ...parts,
    '};',
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(
    `${root}/services/apiserver/bootstrap/gen/rbac-defaults.ts`,
    rbacModule(readFileSync(`${process.argv[2] ?? `${root}/../shared/data`}/kubernetes-rbac-defaults.json`, 'utf8')),
  );
