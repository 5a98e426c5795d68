/**
 * What a namespace's new enforced level means for the pods it has: warnings, since nothing that runs is ended by it.
 * Source: pod-security-admission/admission/admission.go EvaluatePodsInNamespace.
 */
import { controllerOf, type DeepReadonly, type Pod } from '#lib/api';
import type { Ctx } from '#lib/base';
import { evaluate, reasonText } from './evaluate.ts';
import { type LevelVersion, levelVersionText } from './policy.ts';

const PODS_MAX = 3_000;
const CHECK_MS = 1_000;
/** Pods judged before others get the event loop. */
const PODS_AT_ONCE = 200;

interface Found {
  podName: string;
  count: number;
}

export async function existingPodWarnings(
  namespace: string,
  enforce: LevelVersion,
  pods: Iterable<DeepReadonly<Pod>>,
  c: Ctx,
): Promise<string[]> {
  const ordered = oneOfEachControllerFirst(pods);
  const untilMs = c.clock.monotonic() + CHECK_MS;
  const found = new Map<string, Found>();
  let checked = 0;
  for (const pod of ordered.slice(0, PODS_MAX)) {
    if (checked > 0 && checked % PODS_AT_ONCE === 0) {
      await c.clock.sleep(0, c.signal);
      if (c.clock.monotonic() > untilMs) break;
    }
    checked++;
    note(found, pod, enforce);
  }
  const warnings: string[] = [];
  if (checked < ordered.length)
    warnings.push(
      `new PodSecurity enforce level only checked against the first ${checked} of ${ordered.length} existing pods`,
    );
  if (found.size === 0) return warnings;
  warnings.push(
    `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${levelVersionText(enforce)}"`,
  );
  return [...warnings, ...[...found].map(([reason, f]) => `${podsText(f)}: ${reason}`).sort()];
}

function note(found: Map<string, Found>, pod: DeepReadonly<Pod>, { level, version }: LevelVersion): void {
  if (pod.spec === undefined) return;
  const violations = evaluate(level, version, pod.metadata, pod.spec);
  if (violations.length === 0) return;
  const reason = reasonText(violations);
  const name = pod.metadata.name;
  const known = found.get(reason);
  if (known === undefined) found.set(reason, { podName: name, count: 1 });
  else {
    known.count++;
    if (name < known.podName) known.podName = name;
  }
}

function podsText({ podName, count }: Found): string {
  if (count === 1) return podName;
  return count === 2 ? `${podName} (and 1 other pod)` : `${podName} (and ${count - 1} other pods)`;
}

/** Pods of one controller are alike: when not all can be looked at, one of each tells most. */
function oneOfEachControllerFirst(pods: Iterable<DeepReadonly<Pod>>): DeepReadonly<Pod>[] {
  const first: DeepReadonly<Pod>[] = [];
  const others: DeepReadonly<Pod>[] = [];
  const seen = new Set<string>();
  for (const pod of pods) {
    const owner = controllerOf(pod)?.uid;
    if (owner !== undefined && seen.has(owner)) others.push(pod);
    else {
      first.push(pod);
      if (owner !== undefined) seen.add(owner);
    }
  }
  return [...first, ...others];
}
