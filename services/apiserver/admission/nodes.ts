/** A new node takes no pods until it has said that it is ready. Source: plugin/pkg/admission/nodetaint. */
import type { Node } from '#lib/api';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';

const NOT_READY = 'node.kubernetes.io/not-ready';

export class TaintNodesByCondition implements AdmissionPlugin {
  readonly name = 'TaintNodesByCondition';

  admit(request: AdmissionRequest): void {
    const isNode = request.kind.group === '' && request.kind.resource === 'nodes' && request.subresource === '';
    if (!isNode || request.operation !== 'CREATE' || request.object === undefined) return;
    const node = request.object as Node;
    const taints = node.spec?.taints ?? [];
    if (taints.some((t) => t.key === NOT_READY && t.effect === 'NoSchedule')) return;
    node.spec = { ...node.spec, taints: [...taints, { key: NOT_READY, effect: 'NoSchedule' }] };
  }
}
