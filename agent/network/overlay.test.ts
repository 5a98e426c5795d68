import { expect, test } from 'vitest';
import type { Node } from '#lib/api';
import { networkNames } from './names.ts';
import type { OverlayView } from './overlay.ts';
import { peerLines, peersOf, vxlanId } from './overlay.ts';

const names = networkNames('default');
const V: OverlayView = {
  names,
  mode: 'vxlan',
  gateway: '10.42.1.1',
  podCidr: '10.42.1.0/24',
  clusterCidr: '10.42.0.0/16',
  serviceCidr: '10.43.0.0/16',
  nodeName: 'n1',
  nodeIp: '10.0.0.1',
  vxlanPort: 8472,
  mtu: 1450,
};

function node(name: string, podCIDR: string | undefined, ip: string | undefined): Node {
  const addresses =
    ip === undefined
      ? []
      : [
          { type: 'Hostname', address: name },
          { type: 'InternalIP', address: ip },
        ];
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: podCIDR === undefined ? {} : { podCIDR },
    status: { addresses },
  };
}

test('peers: other nodes with a block and an address; a block claimed twice goes to the first name', () => {
  const nodes = [
    node('n1', '10.42.1.0/24', '10.0.0.1'),
    node('n3', '10.42.2.0/24', '10.0.0.3'),
    node('n2', '10.42.2.0/24', '10.0.0.2'),
    node('n4', undefined, '10.0.0.4'),
    node('n5', '10.42.5.0/24', undefined),
    node('n6', 'fd00::/64', '10.0.0.6'),
  ];
  expect([...peersOf(nodes, V).values()]).toEqual([{ podCidr: '10.42.2.0/24', nodeIp: '10.0.0.2' }]);
});

test('vxlan: FDB and neighbour before the route; a node that left is undone; nothing changed is no command', () => {
  const peers = peersOf([node('n2', '10.42.2.0/24', '10.0.0.2')], V);
  const lines = peerLines(V, new Map(), peers);
  expect(lines).toEqual({
    gone: { ip: [], fdb: [] },
    wanted: {
      fdb: [`fdb replace 0a:5a:0a:2a:02:01 dev ${names.vxlan} dst 10.0.0.2`],
      ip: [
        `neigh replace 10.42.2.1 lladdr 0a:5a:0a:2a:02:01 dev ${names.vxlan} nud permanent`,
        `route replace 10.42.2.0/24 via 10.42.2.1 dev ${names.vxlan} onlink src 10.42.1.1 proto ${names.routeProtocol}`,
      ],
    },
  });
  expect(peerLines(V, peers, peers)).toEqual({ gone: { ip: [], fdb: [] }, wanted: { ip: [], fdb: [] } });
  expect(peerLines(V, peers, new Map()).gone.ip).toContain(`route del 10.42.2.0/24 proto ${names.routeProtocol}`);
  const moved = peersOf([node('n2', '10.42.2.0/24', '10.0.0.9')], V);
  expect(peerLines(V, peers, moved).wanted.fdb).toHaveLength(1);
});

test('routes: one route through the node itself', () => {
  const v: OverlayView = { ...V, mode: 'routes' };
  const lines = peerLines(v, new Map(), peersOf([node('n2', '10.42.2.0/24', '10.0.0.2')], v));
  expect(lines.wanted).toEqual({
    fdb: [],
    ip: [`route replace 10.42.2.0/24 via 10.0.0.2 src 10.42.1.1 proto ${names.routeProtocol}`],
  });
});

test('the network identifier follows from the blocks and fits into 24 bits', () => {
  expect(vxlanId('10.42.0.0/16', '10.43.0.0/16')).toBe(vxlanId('10.42.0.0/16', '10.43.0.0/16'));
  for (let i = 0; i < 256; i++) {
    const id = vxlanId(`10.${i}.0.0/16`, '10.43.0.0/16');
    expect(id > 0 && id < 2 ** 24).toBe(true);
  }
});
