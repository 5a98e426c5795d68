/**
 * RestartAllContainers (KEP-5532): a container that ends by such a rule ends the round of its pod. All others are stopped, in two
 * seconds, and all begin again in the same sandbox, with the same address and volumes, init containers first.
 *
 * An attempt carries the number of its round, on disk too, so that what counts follows from the attempts alone: an agent that dies
 * anywhere in between changes nothing. The kubelet knows no back-off here; the one of the container that ended the round is kept,
 * or a program that ends at once would keep the whole node busy. Pure.
 * Source: kubernetes pkg/kubelet/container/helpers.go (ShouldAllContainersRestart), pkg/kubelet/kuberuntime/kuberuntime_manager.go
 * (ContainersToReset), pkg/kubelet/status/generate.go (GenerateAllContainersRestartingCondition).
 */
import {
  type Attempt,
  type ContainerObservation,
  type ContainerSpec,
  containersOf,
  type PodObject,
  type RoledContainer,
} from './model.ts';
import { restartDelayMs, ruleOf } from './restart.ts';

type Observations = Readonly<Record<string, ContainerObservation>>;

const ACTION = 'RestartAllContainers';

/** Whether the pod has such a rule at all. Source: pkg/api/v1/pod/util.go (AllContainersCouldRestart). */
export function mayRestartAll(pod: PodObject): boolean {
  return partsOf(pod).some(({ spec }) =>
    'restartPolicyRules' in spec ? spec.restartPolicyRules?.some((r) => r.action === ACTION) : false,
  );
}

/** The round that counts: its containers run, or are to. */
export function roundOf(pod: PodObject, seen: Observations): number {
  if (!mayRestartAll(pod)) return 0;
  const rounds = partsOf(pod).flatMap(({ spec }) => {
    const { latest, previous } = seen[spec.name] ?? {};
    return [latest, previous].map((a) => (a === undefined ? 0 : (a.round ?? 0) + (endsRound(spec, a) ? 1 : 0)));
  });
  return Math.max(0, ...rounds);
}

/** Names of containers that still run although their round has ended. */
export function staleContainers(pod: PodObject, seen: Observations): readonly string[] {
  const round = roundOf(pod, seen);
  return partsOf(pod)
    .map(({ spec }) => spec.name)
    .filter((name) => {
      const latest = seen[name]?.latest;
      return latest?.state.phase === 'running' && (latest.round ?? 0) < round;
    });
}

/** Attempts of an earlier round that have ended do not count any more, as if their records were gone. */
export function inRound(pod: PodObject, seen: Observations): Observations {
  const round = roundOf(pod, seen);
  if (round === 0) return seen;
  const dueMs = Math.max(0, ...partsOf(pod).map((c) => beginsAtMs(c, seen, round)));
  const names = new Set(partsOf(pod).map(({ spec }) => spec.name));
  return Object.fromEntries(
    Object.entries(seen).map(([name, o]) => {
      const { latest } = o;
      if (!names.has(name) || latest?.state.phase !== 'exited' || (latest.round ?? 0) >= round) return [name, o];
      const firstAttempt = latest.attempt + 1;
      return [
        name,
        { ...o, latest: undefined, previous: latest, firstAttempt, retryAtMs: Math.max(o.retryAtMs, dueMs) },
      ];
    }),
  );
}

/** What the one that ended the round before this makes all wait for. */
function beginsAtMs({ spec }: RoledContainer, seen: Observations, round: number): number {
  const latest = seen[spec.name]?.latest;
  if (latest?.state.phase !== 'exited' || (latest.round ?? 0) !== round - 1 || !endsRound(spec, latest)) return 0;
  return latest.state.finishedAtMs + restartDelayMs(latest, spec.image ?? '');
}

/** One that was ended for another's sake may match too: it ends the same round. */
function endsRound(spec: ContainerSpec, { state }: Attempt): boolean {
  return state.phase === 'exited' && ruleOf(spec, state.exitCode)?.action === ACTION;
}

function partsOf(pod: PodObject): readonly RoledContainer[] {
  return containersOf(pod).filter((c) => c.role !== 'ephemeral');
}
