/**
 * `GET /berth/pods/containers?all=1`: the node's other containers, those of its pods, as entries of a list of containers with
 * the labels that Kubernetes' own tools give them. Docker has no such path: `/containers/json` tells of Docker's alone, so that
 * no client takes a pod's container for its own. For `berth ps`.
 */
import type { Ctx } from '#lib/base';
import type { NodeContainer } from '../../pods/node-containers.ts';
import type { EngineRoute } from '../http/contract.ts';

/** Source: kubernetes pkg/kubelet/types/labels.go. */
const LABELS = {
  namespace: 'io.kubernetes.pod.namespace',
  pod: 'io.kubernetes.pod.name',
  uid: 'io.kubernetes.pod.uid',
  container: 'io.kubernetes.container.name',
} as const;

export function podsRoute(list: ((c: Ctx) => Promise<readonly NodeContainer[]>) | undefined): EngineRoute {
  return {
    method: 'GET',
    path: '/berth/pods/containers',
    async handle(r, reply) {
      const all = (await list?.(r.c)) ?? [];
      const wanted = r.query.bool('all') ? all : all.filter((x) => x.state.phase === 'running');
      reply.json(200, wanted.map(entryOf));
    },
  };
}

function entryOf(x: NodeContainer): object {
  const { state } = x;
  return {
    Id: x.id,
    Names: [`/${x.namespace}/${x.pod}/${x.container}`],
    Image: x.image,
    ImageID: x.imageId,
    Created: Math.floor(state.startedAtMs / 1000),
    State: state.phase,
    ...(state.phase === 'exited' ? { ExitCode: state.exitCode, Finished: Math.floor(state.finishedAtMs / 1000) } : {}),
    Labels: {
      [LABELS.namespace]: x.namespace,
      [LABELS.pod]: x.pod,
      [LABELS.uid]: x.uid,
      [LABELS.container]: x.container,
    },
  };
}
