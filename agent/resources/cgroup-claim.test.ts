import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seededRandom } from '#lib/base';
import { cgroupClaim, isClaimedByOther } from './cgroup-claim.ts';

test('a node keeps its claim; another one, or one whose file is damaged, has another', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-claim-'));
  const random = seededRandom(1);
  const [a, b] = [join(folder, 'a'), join(folder, 'b')];
  const claim = await cgroupClaim(a, random);
  expect(claim).toMatch(/^node-[0-9a-f]{16}$/);
  expect(await cgroupClaim(a, random)).toBe(claim);
  const other = await cgroupClaim(b, random);
  expect(other).not.toBe(claim);
  await writeFile(a, '../../etc');
  expect(await cgroupClaim(a, random)).toMatch(/^node-[0-9a-f]{16}$/);
  expect(isClaimedByOther(['burstable', 'podx', claim, 'node-x'], claim)).toBe(false);
  expect(isClaimedByOther(['burstable', claim, other], claim)).toBe(true);
  await rm(folder, { recursive: true });
});
