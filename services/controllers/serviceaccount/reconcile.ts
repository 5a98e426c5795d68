/**
 * Every namespace that is not going has a ServiceAccount `default`. Admission waits for it, so it comes at once.
 * Source: kubernetes pkg/controller/serviceaccount/serviceaccounts_controller.go.
 */
import type { ServiceAccount } from '#lib/api';
import { Kinds } from '#lib/api';
import { isKind } from '#lib/base';
import type { Controller } from '#lib/controller';
import { DONE, keysFrom, objectsOf, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';

const NAME = 'default';

export function startServiceAccountController(deps: Deps): Controller {
  const namespaces = deps.informers.informer(Kinds.namespaces);
  const accounts = deps.informers.informer(Kinds.serviceaccounts);
  return startController({
    ...deps,
    name: 'serviceaccount',
    workers: 4,
    sources: [
      objectsOf(namespaces),
      keysFrom(accounts, (a) => (a.metadata.name === NAME ? [a.metadata.namespace ?? ''] : [])),
    ],
    reconciler: {
      async reconcile(name, c) {
        const namespace = namespaces.get({ namespace: '', name });
        if (!namespace || namespace.metadata.deletionTimestamp !== undefined) return DONE;
        if (accounts.get({ namespace: name, name: NAME })) return DONE;
        try {
          const metadata = { name: NAME, namespace: name };
          await deps.client.create<ServiceAccount>(Kinds.serviceaccounts, { metadata }, c);
        } catch (e) {
          // There already, or the namespace has begun to go: in both cases the next event tells.
          if (!isKind(e, 'AlreadyExists') && !isKind(e, 'Forbidden') && !isKind(e, 'NotFound')) throw e;
        }
        return DONE;
      },
    },
  });
}
