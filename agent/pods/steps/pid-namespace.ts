/**
 * The PID namespace of an ephemeral container that names a target: the target's, where it sees and may signal its processes.
 * Source: KEP-277; kubernetes pkg/kubelet/kuberuntime (startSpec.getTargetID), CRI NamespaceMode TARGET.
 */
import { type Ctx, StatusError } from '#lib/base';
import type { PodDeps } from '../deps.ts';
import type { Attempt, ContainerSpec, PodObject } from '../model.ts';

export interface PidTarget {
  readonly path: string;
  /** Throws when the target has ended: its pid may have been somebody else's when the runtime opened `path`. */
  check(c: Ctx): Promise<void>;
}

/** Undefined when the container gets a namespace of its own, or the host's as all of its pod. */
export async function pidTargetOf(
  d: Pick<PodDeps, 'runtime'>,
  o: { pod: PodObject; spec: ContainerSpec; attemptOf: (container: string) => Attempt | undefined },
  c: Ctx,
): Promise<PidTarget | undefined> {
  const name = 'targetContainerName' in o.spec ? (o.spec.targetContainerName ?? '') : '';
  if (name === '' || o.pod.spec.hostPID === true) return undefined;
  const target = o.attemptOf(name);
  if (target === undefined) throw new StatusError('NotFound', `unable to find target container ${name}`);
  const pidNow = async (signal: Ctx): Promise<number> => {
    const state = await d.runtime.state(target.id, signal);
    if (state?.phase !== 'running') throw new StatusError('Conflict', `target container ${name} is not running`);
    return state.pid;
  };
  const pid = await pidNow(c);
  return { path: `/proc/${pid}/ns/pid`, check: async (ctx) => void (await pidNow(ctx)) };
}
