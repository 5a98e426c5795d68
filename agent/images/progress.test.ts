import { expect, test } from 'vitest';
import { sha256 } from '#lib/base';
import { PullProgress } from './progress.ts';

test('progress: bytes and layers are summed; all here means unpacking', () => {
  const p = new PullProgress();
  expect(p.text()).toBe('the registry has not answered yet');
  const [a, b] = [sha256('a'), sha256('b')];
  p.update({ layer: a, doneBytes: 0, totalBytes: 30_000_000 });
  p.update({ layer: b, doneBytes: 0, totalBytes: 10_000_000 });
  p.update({ layer: a, doneBytes: 12_340_000, totalBytes: 30_000_000 });
  expect(p.text()).toBe('12.3 of 40.0 MB, 0 of 2 layers');
  p.update({ layer: a, doneBytes: 30_000_000, totalBytes: 30_000_000 });
  expect(p.text()).toBe('30.0 of 40.0 MB, 1 of 2 layers');
  p.update({ layer: b, doneBytes: 10_000_000, totalBytes: 10_000_000 });
  expect(p.text()).toBe('40.0 of 40.0 MB, 2 of 2 layers, unpacking');
});
