/** The objects that proxy targets are found by, as of one consistent read. */
import {
  type DeepReadonly,
  type Endpoints,
  type KindRef,
  Kinds,
  type KubeObject,
  kindInfo,
  type Node,
  type Pod,
  type Service,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import { notFound } from '../../api-errors.ts';
import type { Core } from '../../core.ts';
import type { ProxyObjects } from './target.ts';

export async function proxyObjects(core: Core, c: Ctx): Promise<ProxyObjects> {
  await core.cache.consistent(c);
  const read = (kind: KindRef, namespace: string, name: string): DeepReadonly<KubeObject> => {
    const info = kindInfo(kind);
    const found = core.cache.of(core.kinds.of(info) ?? info).get(namespace, name);
    if (found === undefined) throw notFound(info, name);
    return found.object;
  };
  return {
    pod: async (namespace, name) => read(Kinds.pods, namespace, name) as DeepReadonly<Pod>,
    service: async (namespace, name) => read(Kinds.services, namespace, name) as DeepReadonly<Service>,
    endpoints: async (namespace, name) => read(Kinds.endpoints, namespace, name) as DeepReadonly<Endpoints>,
    node: async (name) => read(Kinds.nodes, '', name) as DeepReadonly<Node>,
  };
}
