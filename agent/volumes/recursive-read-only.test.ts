import { expect, test } from 'vitest';
import { isRecursiveReadOnly, volumeMountStatuses } from './recursive-read-only.ts';

const mount = { name: 'v', mountPath: '/v', readOnly: true };

test.each([
  ['absent', {}, true, false],
  ['Disabled', { recursiveReadOnly: 'Disabled' }, true, false],
  ['IfPossible where it is', { recursiveReadOnly: 'IfPossible' }, true, true],
  ['IfPossible where it is not', { recursiveReadOnly: 'IfPossible' }, false, false],
  ['Enabled', { recursiveReadOnly: 'Enabled' }, true, true],
])('recursiveReadOnly: %s', (_, more, isSupported, wanted) => {
  expect(isRecursiveReadOnly({ ...mount, ...more }, isSupported)).toBe(wanted);
});

test.each([
  [{ recursiveReadOnly: 'Enabled' }, false, 'not supported by the runtime'],
  [{ recursiveReadOnly: 'Enabled', readOnly: false }, true, 'not read-only'],
  [
    { recursiveReadOnly: 'IfPossible', mountPropagation: 'HostToContainer' },
    true,
    'not compatible with propagation "HostToContainer"',
  ],
])('recursiveReadOnly: %j is refused in the kubelet’s words', (more, isSupported, why) => {
  expect(() => isRecursiveReadOnly({ ...mount, ...more }, isSupported)).toThrow(
    `volume "v" requested recursive read-only mode, but it is ${why}`,
  );
});

test('the status says of each mount what it came to be', () => {
  const mounts = [mount, { ...mount, recursiveReadOnly: 'IfPossible' }, { name: 'w', mountPath: '/w' }];
  expect(volumeMountStatuses(mounts, true)).toEqual([
    { name: 'v', mountPath: '/v', readOnly: true, recursiveReadOnly: 'Disabled' },
    { name: 'v', mountPath: '/v', readOnly: true, recursiveReadOnly: 'Enabled' },
    { name: 'w', mountPath: '/w' },
  ]);
});
