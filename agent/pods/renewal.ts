/**
 * A pod that has run and gets a new sandbox (the host was rebooted) begins from its initial state: what its init containers
 * did to the old one is gone. Pure.
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions, CreateSandbox).
 */
import { containersOf, observationOf, type PodObject, type PodObservation, type RoledContainer } from './model.ts';
import { type RestartPolicy, runsAgain } from './restart.ts';

/** Names of the containers whose latest attempt was of another sandbox than `sandboxId` and counts no more. */
export function containersToRenew(pod: PodObject, seen: PodObservation, sandboxId: string): readonly string[] {
  const policy = (pod.spec.restartPolicy ?? 'Always') as RestartPolicy;
  const all = containersOf(pod);
  const latest = (c: RoledContainer) => observationOf(seen, c.spec.name).latest;
  const counts = (c: RoledContainer): boolean => {
    const attempt = latest(c);
    if (attempt === undefined || attempt.state.phase === 'running' || attempt.sandbox === sandboxId) return true;
    /* A failed one under Never is the end of the pod, a successful one must run again for the others. */
    if (c.role === 'init') return attempt.state.exitCode !== 0 && !runsAgain(policy, c, attempt);
    return !runsAgain(policy, c, attempt);
  };
  const anyAppBegins = all.some((c) => c.role === 'app' && (latest(c) === undefined || !counts(c)));
  return anyAppBegins ? all.filter((c) => !counts(c)).map((c) => c.spec.name) : [];
}
