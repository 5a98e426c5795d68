import { expect, test } from 'vitest';
import { networkNames } from '../../agent/network/names.ts';
import { defaultCidrs } from '../layout.ts';
import { chooseBlocks, refuseUsedBlocks } from './blocks.ts';

const at = (address: string) => [{ address }];
/** A bridge without pods is not up: its VXLAN link tells. */
const other = networkNames('other').vxlan;

test("blocks: the instance's own where they are free, the next free ones where any of the three is taken", () => {
  expect(chooseBlocks('berth', { eth0: at('192.0.2.2') })).toEqual(defaultCidrs('berth'));
  expect(chooseBlocks('berth', { eth0: at('10.42.7.9') })).toEqual({
    clusterCidr: '10.64.0.0/16',
    serviceCidr: '10.65.0.0/16',
  });
  expect(chooseBlocks('berth', { eth0: at('10.43.7.9') }).clusterCidr).toBe('10.64.0.0/16');
  expect(chooseBlocks('berth', { eth0: at('10.41.7.9') }).clusterCidr).toBe('10.64.0.0/16');
  expect(chooseBlocks('berth', { eth0: at('10.42.7.9'), [other]: at('10.64.0.1') }).clusterCidr).toBe('10.68.0.0/16');
  expect(chooseBlocks('berth', { eth0: at('10.42.7.9'), 'b-hosts': at('10.63.0.1') }).clusterCidr).toBe('10.68.0.0/16');
});

test('blocks: two instances whose names lead to the same ones get different ones; those of the last begin again at the first', () => {
  const names = Array.from({ length: 400 }, (_, i) => `i${i}`);
  const last = names.find((n) => defaultCidrs(n).clusterCidr === '10.190.0.0/16') ?? '';
  expect(chooseBlocks(last, {}).clusterCidr).toBe('10.190.0.0/16');
  expect(chooseBlocks(last, { [other]: at('10.190.0.1') }).clusterCidr).toBe('10.64.0.0/16');
});

test('blocks: all taken is said', () => {
  const links = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`e${i}`, at(`10.${i}.0.1`)]));
  expect(() => chooseBlocks('berth', links)).toThrow('uses every 10.x.0.0/16');
});

test('blocks: a cluster that starts again keeps its own links, and is refused beside others with its block', () => {
  const layout = { instance: 'mine', clusterCidr: '10.80.0.0/16', serviceCidr: '10.81.0.0/16' };
  const mine = networkNames('mine');
  refuseUsedBlocks(layout, {
    [mine.bridge]: at('10.80.0.1'),
    [mine.vxlan]: at('10.80.0.1'),
    'bmine-hosts': at('10.79.0.1'),
  });
  expect(() => refuseUsedBlocks(layout, { [other]: at('10.80.0.1') })).toThrow(
    `10.80.0.0/16, which the cluster "mine" gives its pods, is in use by the link ${other}`,
  );
  expect(() => refuseUsedBlocks(layout, { tun0: at('10.81.3.4') })).toThrow('gives its services');
});
