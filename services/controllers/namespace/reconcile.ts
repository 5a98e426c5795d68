/** Empties namespaces that are being deleted, tells how far it is, and lets them go. */
import type { DeepReadonly, Namespace } from '#lib/api';
import { Kinds } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind } from '#lib/base';
import type { Controller, Outcome } from '#lib/controller';
import { changesOf, DONE, objectsOf, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { instantOf } from '../instant.ts';
import { deleteContent } from './content.ts';
import { FINALIZER, plan } from './plan.ts';

/** Between passes while something remains; the end of a pod is heard at once. */
const AGAIN_MS = 1_000;

export function startNamespaceController(deps: Deps): Controller {
  const namespaces = deps.informers.informer(Kinds.namespaces);
  const pods = deps.informers.informer(Kinds.pods);
  return startController({
    ...deps,
    name: 'namespace',
    workers: 4,
    sources: [
      objectsOf(namespaces),
      changesOf(pods, (previous, next) => {
        const name = previous?.metadata.namespace ?? '';
        const isLast = previous && !next && pods.list(name).length === 0;
        return isLast && isGoing(namespaces.get({ namespace: '', name })) ? [name] : [];
      }),
    ],
    reconciler: {
      async reconcile(name, c) {
        const namespace = namespaces.get({ namespace: '', name });
        return namespace && isGoing(namespace) ? empty(namespace, deps, c) : DONE;
      },
    },
  });
}

function isGoing(namespace: DeepReadonly<Namespace> | undefined): boolean {
  return namespace?.metadata.deletionTimestamp !== undefined && (namespace.spec?.finalizers ?? []).includes(FINALIZER);
}

async function empty(namespace: DeepReadonly<Namespace>, deps: Deps, c: Ctx): Promise<Outcome> {
  const { client, clock, customKinds } = deps;
  const { remains, failures } = await deleteContent(client, namespace.metadata.name, customKinds.all(), c);
  const { conditions, hasChanged, mayFinalize } = plan({ namespace, remains, failures }, instantOf(clock));
  try {
    let latest = namespace;
    // What was never worth telling is not told at the end either: one write less for every empty namespace.
    if (hasChanged && (!mayFinalize || (namespace.status?.conditions ?? []).length > 0)) {
      const status = { ...namespace.status, conditions };
      latest = await client.update<Namespace>(Kinds.namespaces, { ...namespace, status }, c, { subresource: 'status' });
    }
    if (!mayFinalize) return { afterMs: AGAIN_MS };
    const finalizers = (latest.spec?.finalizers ?? []).filter((f) => f !== FINALIZER);
    await client.update<Namespace>(Kinds.namespaces, { ...latest, spec: { ...latest.spec, finalizers } }, c, {
      subresource: 'finalize',
    });
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
  }
  return DONE;
}
