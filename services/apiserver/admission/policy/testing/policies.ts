/** Policies and what belongs to them, for tests. */
import type { MutatingAdmissionPolicy, ValidatingAdmissionPolicy } from '#lib/api';
import { Kinds } from '#lib/api';
import { testContext as c, eventually, type TestServer } from '../../../testing/server.ts';

type ValidatingSpec = Partial<ValidatingAdmissionPolicy['spec']>;
type MutatingSpec = Partial<MutatingAdmissionPolicy['spec']>;

export const CONFIG_MAPS = {
  resourceRules: [
    { apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'], operations: ['CREATE', 'UPDATE'] },
  ],
};

export async function addValidating(
  server: TestServer,
  name: string,
  spec: ValidatingSpec,
  binding: object = {},
): Promise<void> {
  const policy = { metadata: { name }, spec: { matchConstraints: CONFIG_MAPS, ...spec } };
  await server.client.create(Kinds.validatingadmissionpolicies, policy, c);
  const bound = { policyName: name, validationActions: ['Deny'], ...binding };
  await server.client.create(
    Kinds.validatingadmissionpolicybindings,
    { metadata: { name: `${name}-b` }, spec: bound },
    c,
  );
}

export async function addMutating(
  server: TestServer,
  name: string,
  spec: MutatingSpec,
  binding: object = {},
): Promise<void> {
  const policy = { metadata: { name }, spec: { matchConstraints: CONFIG_MAPS, reinvocationPolicy: 'Never', ...spec } };
  await server.client.create(Kinds.mutatingadmissionpolicies, policy, c);
  const bound = { policyName: name, ...binding };
  await server.client.create(
    Kinds.mutatingadmissionpolicybindings,
    { metadata: { name: `${name}-b` }, spec: bound },
    c,
  );
}

export const apply = (expression: string) => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } });
export const jsonPatch = (expression: string) => ({ patchType: 'JSONPatch', jsonPatch: { expression } });

/** Until the server has seen what was written last: `attempt` must fail then. */
export async function refusalOf(attempt: () => Promise<unknown>): Promise<string> {
  return await eventually(async () => {
    try {
      await attempt();
    } catch (e) {
      return e instanceof Error ? e.message : String(e);
    }
    throw new Error('not refused');
  });
}

export function configMap(name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) {
  return { metadata: { name, namespace: 'default', labels }, data };
}
