/** Cordoned nodes, for pods that do not tolerate it. Source: kubernetes plugins/nodeunschedulable. */
import type { FilterPlugin } from '../framework.ts';
import { FITS } from '../framework.ts';
import { isTolerated } from './taints.ts';

const REASON = ['node(s) were unschedulable'];
const TAINT = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export const unschedulable: FilterPlugin = {
  name: 'NodeUnschedulable',
  wakesOn: new Set(['node-added', 'node-changed']),
  prepare(p) {
    if (isTolerated(TAINT, p.pod.spec.tolerations)) return undefined;
    return (n) => (n.isUnschedulable ? REASON : FITS);
  },
};
