import { expect, test } from 'vitest';
import { heldCapabilities } from './capabilities.ts';

test('what a process holds, by the bits of its status', () => {
  expect(heldCapabilities('CapPrm:\t0\nCapEff:\t0000000000000021\n')).toEqual(['CAP_CHOWN', 'CAP_KILL']);
  const all = heldCapabilities('CapEff:\t000001ffffffffff\n');
  expect([all.length, all.at(-1)]).toEqual([41, 'CAP_CHECKPOINT_RESTORE']);
  expect(heldCapabilities('CapEff:\t000001fffeffffff\n')).toEqual(all.filter((c) => c !== 'CAP_SYS_RESOURCE'));
  expect(heldCapabilities('')).toEqual([]);
});
