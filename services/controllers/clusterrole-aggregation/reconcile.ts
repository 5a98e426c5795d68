/**
 * Keeps the rules of ClusterRoles with an aggregationRule (admin, edit, view) equal to those of the roles that they select.
 * Rules that somebody else writes there are overwritten. Source: as plan.ts.
 */
import type { ClusterRole } from '#lib/api';
import { Kinds } from '#lib/api';
import type { Controller } from '#lib/controller';
import { changesOf, DONE, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { aggregatedRules, hasSameRules } from './plan.ts';

export function startClusterRoleAggregationController(deps: Deps): Controller {
  const roles = deps.informers.informer(Kinds.clusterroles);
  /** Any change may concern each of them, and they are few. */
  const aggregating = (): string[] =>
    roles.list().flatMap((r) => (r.aggregationRule === undefined ? [] : [r.metadata.name]));
  return startController({
    ...deps,
    name: 'clusterrole-aggregation',
    workers: 1,
    sources: [changesOf(roles, aggregating)],
    reconciler: {
      async reconcile(name, c) {
        const role = roles.get({ namespace: '', name });
        if (role?.aggregationRule === undefined) return DONE;
        const rules = aggregatedRules(role, roles.list());
        if (!hasSameRules(role.rules, rules)) {
          const options = { fieldManager: 'clusterrole-aggregation-controller' };
          await deps.client.update<ClusterRole>(Kinds.clusterroles, { ...role, rules }, c, options);
        }
        return DONE;
      },
    },
  });
}
