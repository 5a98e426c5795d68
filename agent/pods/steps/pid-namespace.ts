/**
 * The PID namespace of a container that has none of its own: that of its pod (shareProcessNamespace), or, for an ephemeral
 * container that names a target, the target's, where it sees and may signal its processes.
 * Source: KEP-495, KEP-277; kubernetes pkg/kubelet/kuberuntime (startSpec.getTargetID, PidNamespaceForPod).
 */
import { join } from 'node:path';
import { type Ctx, StatusError } from '#lib/base';
import type { PodDeps } from '../deps.ts';
import type { Attempt, ContainerSpec, PodObject } from '../model.ts';
import type { Sandbox } from './sandbox.ts';

export interface PidTarget {
  readonly path: string;
  /** Throws when the target has ended: its pid may have been somebody else's when the runtime opened `path`. */
  check(c: Ctx): Promise<void>;
}

export interface PidTargetRequest {
  readonly pod: PodObject;
  readonly spec: ContainerSpec;
  readonly sandbox: Pick<Sandbox, 'folder' | 'cgroup'>;
  readonly attemptOf: (container: string) => Attempt | undefined;
}

/** Undefined when the container gets a namespace of its own, or the host's as all of its pod. */
export async function pidTargetOf(
  d: Pick<PodDeps, 'runtime' | 'kernel'>,
  o: PidTargetRequest,
  c: Ctx,
): Promise<PidTarget | undefined> {
  if (o.pod.spec.shareProcessNamespace === true && o.pod.spec.hostPID !== true) return podProcesses(d, o.sandbox, c);
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

/** Made at the first container's start, and again should its PID 1 have died: with it all others of the pod have ended. */
async function podProcesses(
  d: Pick<PodDeps, 'kernel'>,
  { folder, cgroup }: Pick<Sandbox, 'folder' | 'cgroup'>,
  c: Ctx,
): Promise<PidTarget> {
  const group = join(cgroup, 'pause');
  await d.kernel.cgroups.ensure(group, {}, c);
  await d.kernel.namespaces.pinProcesses(join(folder, 'ns'), { cgroup: group }, c);
  return { path: join(folder, 'ns', 'pid'), check: async () => undefined };
}
