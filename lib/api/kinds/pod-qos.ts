/**
 * A pod's quality of service class: Guaranteed when every container limits cpu and memory and requests just that, BestEffort
 * when none asks for either, else Burstable. Source: pkg/apis/core/v1/helper/qos/qos.go.
 */
import type { PodSpec } from '../gen/types/core-v1.ts';
import type { DeepReadonly } from '../object.ts';
import { compareQuantity, parseQuantity } from '../quantity.ts';

const RESOURCES = ['cpu', 'memory'] as const;
type Amounts = Readonly<Record<string, string>> | undefined;

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

export function qosClassOf(spec: DeepReadonly<PodSpec>): QosClass {
  const all =
    spec.resources !== undefined
      ? [spec.resources]
      : [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((c) => c.resources ?? {});
  let isGuaranteed = true;
  let isBestEffort = true;
  for (const { limits, requests } of all)
    for (const name of RESOURCES) {
      const limit = amount(limits, name);
      const request = amount(requests, name);
      if (limit !== undefined || request !== undefined) isBestEffort = false;
      if (limit === undefined || (request !== undefined && compareQuantity(limit, request) !== 0)) isGuaranteed = false;
    }
  if (isBestEffort) return 'BestEffort';
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}

/** Zero counts as not given. */
function amount(list: Amounts, name: string): ReturnType<typeof parseQuantity> | undefined {
  const text = list?.[name];
  if (text === undefined) return undefined;
  const q = parseQuantity(text);
  return q.nano === 0n ? undefined : q;
}
