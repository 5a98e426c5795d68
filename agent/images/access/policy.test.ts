import { expect, test } from 'vitest';
import { parseNodeSettings } from '../../resources/node-settings.ts';
import { mustVerify, type VerificationPolicy, type VerificationSettings } from './policy.ts';

const HEAD = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
const read = async (text: string): Promise<VerificationSettings> =>
  (await parseNodeSettings(HEAD + text)).imageVerification;
const listed = (pattern: string): string =>
  `imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\npreloadedImagesVerificationAllowlist: ['${pattern}']`;

test.each<[VerificationPolicy, boolean, boolean]>([
  ['NeverVerify', false, false],
  ['NeverVerifyPreloadedImages', true, false],
  ['NeverVerifyAllowlistedImages', true, true],
  ['AlwaysVerify', true, true],
])('image access: %s verifies what the node pulled: %s, what came otherwise: %s', (policy, pulled, preloaded) => {
  const settings = { policy, allowlist: ['registry.test/other'] };
  expect(mustVerify(settings, 'registry.test/a/b:1', true)).toBe(pulled);
  expect(mustVerify(settings, 'registry.test/a/b:1', false)).toBe(preloaded);
});

test.each([
  ['registry.test/a/b', 'registry.test/a/b:1', true],
  ['registry.test/a/b', 'registry.test/a/b', true],
  ['registry.test/a/b', 'registry.test/a/bc', false],
  ['registry.test/a/*', 'registry.test/a/b/c:1', true],
  ['registry.test/a/*', 'registry.test/ab', false],
  ['registry.test:5000/a', `registry.test:5000/a@sha256:${'0'.repeat(64)}`, true],
  ['busybox', 'busybox:1.36', true],
  ['docker.io/library/busybox', 'busybox', true],
  ['library/busybox', 'evil.test/library/busybox', false],
])('image access: allowlist %s of %s: %s', (pattern, reference, isListed) => {
  const settings: VerificationSettings = { policy: 'NeverVerifyAllowlistedImages', allowlist: [pattern] };
  expect(mustVerify(settings, reference, true)).toBe(!isListed);
});

test('image access: settings, by the kubelet’s names', async () => {
  expect(await read('')).toEqual({ policy: 'NeverVerifyPreloadedImages', allowlist: [] });
  expect(await read('imagePullCredentialsVerificationPolicy: AlwaysVerify')).toMatchObject({ policy: 'AlwaysVerify' });
  expect(await read(listed('r.test/a/*'))).toEqual({
    policy: 'NeverVerifyAllowlistedImages',
    allowlist: ['r.test/a/*'],
  });
});

test.each([
  ['imagePullCredentialsVerificationPolicy: Perhaps', 'Unsupported value: "Perhaps"'],
  ['preloadedImagesVerificationAllowlist: [r.test/a]', 'is NeverVerifyAllowlistedImages'],
  [listed(' r.test/a'), 'leading/trailing spaces'],
  [listed('r.test/*/a'), "only patterns ending with '/*' are allowed"],
  [listed('/*'), 'at least registry hostname'],
  [listed('r.test/a:1'), 'neither tag nor digest'],
  [listed('r.test/A B'), 'failed to parse as an image name'],
])('image access: mistake %s', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message);
});
