/**
 * Publishes the cluster's CA as ConfigMap kube-root-ca.crt in every namespace, where projected service account volumes
 * take it from. Changed or deleted ones are put right. Source: kubernetes pkg/controller/certificates/rootcacertpublisher.
 */
import type { ConfigMap } from '#lib/api';
import { Kinds } from '#lib/api';
import { isKind } from '#lib/base';
import type { Controller } from '#lib/controller';
import { DONE, isEqualJson, keysFrom, objectsOf, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';

const NAME = 'kube-root-ca.crt';
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

export function startRootCaController(deps: Deps, caPem: string): Controller {
  const namespaces = deps.informers.informer(Kinds.namespaces);
  const maps = deps.informers.informer(Kinds.configmaps);
  const data = { 'ca.crt': caPem };
  return startController({
    ...deps,
    name: 'root-ca',
    workers: 4,
    sources: [
      objectsOf(namespaces),
      keysFrom(maps, (m) => (m.metadata.name === NAME ? [m.metadata.namespace ?? ''] : [])),
    ],
    reconciler: {
      async reconcile(name, c) {
        const namespace = namespaces.get({ namespace: '', name });
        if (!namespace || namespace.metadata.deletionTimestamp !== undefined) return DONE;
        const known = maps.get({ namespace: name, name: NAME });
        if (known) {
          if (!isEqualJson(known.data, data))
            await deps.client.update<ConfigMap>(Kinds.configmaps, { ...known, data }, c);
          return DONE;
        }
        try {
          const annotations = { 'kubernetes.io/description': DESCRIPTION };
          const metadata = { name: NAME, namespace: name, annotations };
          await deps.client.create<ConfigMap>(Kinds.configmaps, { metadata, data }, c);
        } catch (e) {
          // There already, or the namespace has begun to go: in both cases the next event tells.
          if (!isKind(e, 'AlreadyExists') && !isKind(e, 'Forbidden') && !isKind(e, 'NotFound')) throw e;
        }
        return DONE;
      },
    },
  });
}
