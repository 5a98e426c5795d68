/** A namespace goes in two steps: marked Terminating, then removed when the last of spec.finalizers went. */
import type { DeepReadonly, KubeObject, Namespace } from '#lib/api';
import type { ResourceHooks } from '../hooks.ts';

const KUBERNETES = 'kubernetes';
const NAME_LABEL = 'kubernetes.io/metadata.name';

export const namespaceHooks: ResourceHooks = {
  async beginCreate(draft: KubeObject): Promise<undefined> {
    const namespace = draft as Namespace;
    namespace.metadata.labels = { ...namespace.metadata.labels, [NAME_LABEL]: namespace.metadata.name };
    const finalizers = namespace.spec?.finalizers ?? [];
    if (!finalizers.includes(KUBERNETES))
      namespace.spec = { ...namespace.spec, finalizers: [...finalizers, KUBERNETES] };
    namespace.status = { ...namespace.status, phase: 'Active' };
    return undefined;
  },
  async beginUpdate(draft: KubeObject): Promise<undefined> {
    draft.metadata.labels = { ...draft.metadata.labels, [NAME_LABEL]: draft.metadata.name };
    return undefined;
  },
  hasOwnFinalizers(object: DeepReadonly<KubeObject>): boolean {
    return ((object as DeepReadonly<Namespace>).spec?.finalizers ?? []).length > 0;
  },
  onMarked(draft: KubeObject): void {
    const namespace = draft as Namespace;
    namespace.status = { ...namespace.status, phase: 'Terminating' };
  },
};
