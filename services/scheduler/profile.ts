/** The plugins of the default scheduler, in Kubernetes' order of filters. */
import type { Profile } from './framework.ts';
import { fit } from './plugins/fit.ts';
import { imageLocality } from './plugins/image-locality.ts';
import { interPod, interPodScore } from './plugins/inter-pod.ts';
import { nodeAffinity, nodeAffinityScore } from './plugins/node-affinity.ts';
import { nodeName } from './plugins/node-name.ts';
import { ports } from './plugins/ports.ts';
import { balanced, leastAllocated } from './plugins/resource-scores.ts';
import { spread, spreadScore } from './plugins/spread.ts';
import { taintScore, taints } from './plugins/taints.ts';
import { unschedulable } from './plugins/unschedulable.ts';
import { volumeBinding } from './plugins/volume-binding.ts';
import { volumeLimits } from './plugins/volume-limits.ts';
import { volumeRestrictions } from './plugins/volume-restrictions.ts';

export const DEFAULT_PROFILE: Profile = {
  filters: [
    unschedulable,
    nodeName,
    taints,
    nodeAffinity,
    ports,
    fit,
    volumeRestrictions,
    volumeLimits,
    volumeBinding,
    spread,
    interPod,
  ],
  scores: [taintScore, nodeAffinityScore, spreadScore, interPodScore, leastAllocated, balanced, imageLocality],
};
