/**
 * Keeps status.typeChecking of validating policies. Every replica does it: a policy is done when its generation has been
 * observed. Source: pkg/controller/validatingadmissionpolicystatus/controller.go (kubernetes).
 */
import { type DeepReadonly, Kinds, type ValidatingAdmissionPolicy } from '#lib/api';
import { type Clock, type Ctx, isKind, type Logger, type Random } from '#lib/base';
import type { Client } from '#lib/client';
import { DONE, type InformerFactory, type Outcome, objectsOf, startController } from '#lib/controller';
import type { TypeChecker } from './type-checking.ts';

const WORKERS = 1;

export interface TypeCheckingDeps {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly checker: TypeChecker;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export function startTypeChecking(o: TypeCheckingDeps): AsyncDisposable {
  const { clock, random, log } = o;
  const policies = o.informers.informer(Kinds.validatingadmissionpolicies);
  return startController({
    clock,
    random,
    log,
    name: 'validating-admission-policy-status',
    workers: WORKERS,
    sources: [objectsOf(policies)],
    reconciler: {
      reconcile: async (name, c) => await settle(o, policies.get({ namespace: '', name }), c),
    },
  });
}

type Policy = DeepReadonly<ValidatingAdmissionPolicy> | undefined;

async function settle(o: TypeCheckingDeps, policy: Policy, c: Ctx): Promise<Outcome> {
  if (policy === undefined) return DONE;
  const { name, generation, resourceVersion } = policy.metadata;
  if (policy.status?.observedGeneration === generation) return DONE;
  const found = o.checker.check(policy.spec);
  const typeChecking = found.length === 0 ? {} : { expressionWarnings: found };
  const body = { metadata: { resourceVersion }, status: { observedGeneration: generation, typeChecking } };
  try {
    const key = { namespace: '', name };
    await o.client.patch(Kinds.validatingadmissionpolicies, key, { type: 'merge', body }, c, { subresource: 'status' });
  } catch (e) {
    // Changed or gone meanwhile, or another replica was faster: seen as a change.
    if (!isKind(e, 'Conflict') && !isKind(e, 'NotFound')) throw e;
  }
  return DONE;
}
