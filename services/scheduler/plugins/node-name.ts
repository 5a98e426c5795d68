/** A pod that names its node runs there or nowhere. Source: kubernetes plugins/nodename. */
import type { FilterPlugin } from '../framework.ts';
import { FITS } from '../framework.ts';

const REASON = ["node(s) didn't match the requested node name"];

export const nodeName: FilterPlugin = {
  name: 'NodeName',
  wakesOn: new Set(['node-added']),
  prepare(p) {
    const wanted = p.pod.spec.nodeName;
    return wanted ? (n) => (n.name === wanted ? FITS : REASON) : undefined;
  },
};
