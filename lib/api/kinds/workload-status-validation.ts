/** What controllers may report of replicas. Source: pkg/apis/apps/validation, pkg/apis/core/validation Validate*StatusUpdate. */
import { type FieldError, invalid } from '../field-error.ts';
import { Errors } from '../validation/field-path.ts';

type Counts = Readonly<Record<string, unknown>>;
interface Counted {
  status?: object | undefined;
}

/** Per kind: counts that are not negative, those of them that are at most `replicas`, and how readyReplicas is called. */
interface CountRules {
  readonly counts: readonly string[];
  readonly bounded: readonly string[];
  readonly ready?: string;
}

const REPLICA_SET: CountRules = {
  counts: [
    'replicas',
    'fullyLabeledReplicas',
    'readyReplicas',
    'availableReplicas',
    'observedGeneration',
    'terminatingReplicas',
  ],
  bounded: ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'],
  ready: 'readyReplicas',
};
const DEPLOYMENT: CountRules = {
  counts: [
    'observedGeneration',
    'replicas',
    'updatedReplicas',
    'readyReplicas',
    'availableReplicas',
    'unavailableReplicas',
    'terminatingReplicas',
    'collisionCount',
  ],
  bounded: ['updatedReplicas', 'readyReplicas', 'availableReplicas'],
  ready: 'readyReplicas',
};
const STATEFUL_SET: CountRules = {
  counts: [
    'replicas',
    'readyReplicas',
    'currentReplicas',
    'updatedReplicas',
    'availableReplicas',
    'observedGeneration',
    'collisionCount',
  ],
  bounded: ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'],
  ready: 'status.readyReplicas',
};
const DAEMON_SET: CountRules = {
  counts: [
    'currentNumberScheduled',
    'numberMisscheduled',
    'desiredNumberScheduled',
    'numberReady',
    'observedGeneration',
    'updatedNumberScheduled',
    'numberAvailable',
    'numberUnavailable',
    'collisionCount',
  ],
  bounded: [],
};

function validateCounts(rules: CountRules): (next: Counted, previous: Counted) => FieldError[] {
  return (next, previous) => {
    const errors = new Errors();
    const now = (next.status ?? {}) as Counts;
    const before = (previous.status ?? {}) as Counts;
    const of = (counts: Counts, name: string): number => Number(counts[name] ?? 0);
    for (const name of rules.counts) errors.notNegative(`status.${name}`, of(now, name));
    for (const name of rules.bounded)
      if (of(now, name) > of(now, 'replicas'))
        errors.add(invalid(`status.${name}`, of(now, name), 'cannot be greater than status.replicas'));
    const available = of(now, 'availableReplicas');
    if (rules.ready !== undefined && available > of(now, 'readyReplicas'))
      errors.add(invalid('status.availableReplicas', available, `cannot be greater than ${rules.ready}`));
    const collisions = of(now, 'collisionCount');
    if (rules.counts.includes('collisionCount') && collisions < of(before, 'collisionCount'))
      errors.add(invalid('status.collisionCount', collisions, 'cannot be decremented'));
    return errors.list;
  };
}

export const validateReplicaSetStatus = validateCounts(REPLICA_SET);
export const validateDeploymentStatus = validateCounts(DEPLOYMENT);
export const validateStatefulSetStatus = validateCounts(STATEFUL_SET);
export const validateDaemonSetStatus = validateCounts(DAEMON_SET);
