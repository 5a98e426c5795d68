/**
 * When an ended container runs again. One table for restartPolicy, one curve for CrashLoopBackOff: the first restart is
 * immediate, then 10, 20, 40, ... 300 s, or up to what the node's configuration allows; ten minutes of running reset it.
 * Source: kubernetes pkg/kubelet/kubelet.go (newCrashLoopBackOff), KEP-4603, concepts/workloads/pods/pod-lifecycle.
 */
import type { ContainerRestartRule, DeepReadonly } from '#lib/api';
import { assertNever } from '#lib/base';
import type { Attempt, ContainerSpec, RoledContainer } from './model.ts';

export const BACKOFF_INITIAL_MS = 10_000;
export const BACKOFF_MAX_MS = 300_000;
export const BACKOFF_RESET_MS = 600_000;

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

/**
 * Whether a container that ended with `exitCode` runs again: its own rules first, then its own policy, then the pod's.
 * Source: KEP-5307; kubernetes pkg/api/v1/pod/util.go (ContainerShouldRestart, FindMatchingContainerRestartRule).
 */
export function restarts(podPolicy: RestartPolicy, { role, spec }: RoledContainer, exitCode: number): boolean {
  switch (role) {
    case 'ephemeral':
      return false;
    case 'sidecar':
      return true;
    case 'init':
      return exitCode !== 0 && (ruleRestarts(spec, exitCode) || policyOf(podPolicy, spec) !== 'Never');
    case 'app': {
      const policy = policyOf(podPolicy, spec);
      return ruleRestarts(spec, exitCode) || policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
    }
    default:
      return assertNever(role);
  }
}

function policyOf(podPolicy: RestartPolicy, spec: ContainerSpec): RestartPolicy {
  const own = 'restartPolicy' in spec ? spec.restartPolicy : undefined;
  return own === 'Always' || own === 'OnFailure' || own === 'Never' ? own : podPolicy;
}

/** The first rule that matches decides. */
export function ruleOf(spec: ContainerSpec, exitCode: number): DeepReadonly<ContainerRestartRule> | undefined {
  const rules = 'restartPolicyRules' in spec ? (spec.restartPolicyRules ?? []) : [];
  return rules.find(({ exitCodes }) => {
    const isListed = exitCodes?.values?.includes(exitCode) === true;
    return (exitCodes?.operator === 'In' && isListed) || (exitCodes?.operator === 'NotIn' && !isListed);
  });
}

const RESTARTING: readonly (string | undefined)[] = ['Restart', 'RestartAllContainers'];

/** Without a rule that restarts it is left to the policy. */
function ruleRestarts(spec: ContainerSpec, exitCode: number): boolean {
  return RESTARTING.includes(ruleOf(spec, exitCode)?.action);
}

/** Whether any end of it may be followed by another attempt. Source: IsContainerRestartable, there. */
function isRestartable(podPolicy: RestartPolicy, spec: ContainerSpec): boolean {
  const rules = 'restartPolicyRules' in spec ? (spec.restartPolicyRules ?? []) : [];
  return rules.some((r) => RESTARTING.includes(r.action)) || policyOf(podPolicy, spec) !== 'Never';
}

/**
 * Whether the ended attempt is followed by another. Beyond the policy: an app container that the agent ended comes back
 * (not with Never), and one that it ended for a changed image always does.
 */
export function runsAgain(policy: RestartPolicy, c: RoledContainer, ended: Attempt): boolean {
  if (ended.state.phase !== 'exited') return false;
  if (ended.isReplaced === true || restarts(policy, c, ended.state.exitCode)) return true;
  return c.role === 'app' && ended.killReason !== undefined && isRestartable(policy, c.spec);
}

/** How long after its end the next attempt waits, at most `maxMs`; `image` is what that will run. */
export function restartDelayMs(ended: Attempt, image: string, maxMs = BACKOFF_MAX_MS): number {
  if (beginsBackOff(ended, image) || ended.backOff === 0) return 0;
  return Math.min(BACKOFF_INITIAL_MS * 2 ** Math.min(ended.backOff - 1, 10), maxMs);
}

/** `backOff` of the attempt that follows `ended` and runs `image`. */
export function backOffOfNext(ended: Attempt | undefined, image: string): number {
  if (ended === undefined) return 0;
  return beginsBackOff(ended, image) ? 1 : ended.backOff + 1;
}

/** What ended is no reason to wait: it was another image, ran long, or was ended to be replaced. */
function beginsBackOff({ state, isReplaced, image: ran }: Attempt, image: string): boolean {
  if (state.phase !== 'exited' || isReplaced === true || ran !== image) return true;
  return state.finishedAtMs - state.startedAtMs >= BACKOFF_RESET_MS;
}

/** Delay after the nth failed try (0 = first) to pull or start. Source: kubelet image and container back-off. */
export function retryDelayMs(failures: number): number {
  return Math.min(BACKOFF_INITIAL_MS * 2 ** Math.min(failures, 10), BACKOFF_MAX_MS);
}
