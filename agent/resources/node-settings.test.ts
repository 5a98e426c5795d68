import { expect, test } from 'vitest';
import { DEFAULT_NODE_SETTINGS, parseNodeSettings } from './node-settings.ts';

const HEAD = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

test('without a field the defaults hold; what is given replaces them whole', async () => {
  expect(await parseNodeSettings(HEAD)).toEqual(DEFAULT_NODE_SETTINGS);
  const text = `${HEAD}podPidsLimit: 100
kubeReserved: {cpu: 100m, memory: 256Mi, pid: "500"}
systemReserved: {cpu: 1, ephemeral-storage: 1Gi}
evictionHard: {memory.available: 5%, nodefs.available: 1Gi}
enforceNodeAllocatable: [none]
cpuManagerPolicy: static
imageMaximumGCAge: 48h
seccompDefault: false
allowedUnsafeSysctls: [net.core.*, kernel.msgmax]
staticPodPath: /etc/manifests
singleProcessOOMKill: true
`;
  expect(await parseNodeSettings(text)).toEqual({
    podPidsLimit: 100,
    kubeReserved: { cpu: '100m', memory: '256Mi', pid: '500' },
    systemReserved: { cpu: '1', 'ephemeral-storage': '1Gi' },
    evictionHard: { 'memory.available': '5%', 'nodefs.available': '1Gi' },
    enforcesPods: false,
    singleProcessOOMKill: true,
    cpuManagerPolicy: 'static',
    reservedSystemCPUs: undefined,
    imageGc: { ...DEFAULT_NODE_SETTINGS.imageGc, maximumAgeMs: 48 * 3_600_000 },
    seccompDefault: false,
    allowedUnsafeSysctls: ['net.core.*', 'kernel.msgmax'],
    staticPodPath: '/etc/manifests',
  });
});

test('mergeDefaultEvictionSettings keeps the thresholds that are not given; -1 is no limit of processes', async () => {
  const text = `${HEAD}podPidsLimit: -1\nevictionHard: {memory.available: 1Gi}\nmergeDefaultEvictionSettings: true\n`;
  const settings = await parseNodeSettings(text);
  expect(settings.podPidsLimit).toBeUndefined();
  expect(settings.evictionHard).toMatchObject({ 'memory.available': '1Gi', 'nodefs.available': '10%' });
});

test('every mistake is told, by its field', async () => {
  const text = `${HEAD}podPidsLimit: many
kubeReserved: {memory: lots, gpu: 1}
systemReserved: {cpu: -1}
evictionHard: {memory.available: 100%, cpu.available: 1}
enforceNodeAllocatable: [pods, kube-reserved]
maxPods: 10
cpuManagerPolicy: dynamic
reservedSystemCPUs: first
imageGCHighThresholdPercent: 101
seccompDefault: 1
allowedUnsafeSysctls: [kernel.core_pattern]
staticPodPath: manifests
`;
  await expect(parseNodeSettings(text)).rejects.toMatchObject({ kind: 'BadRequest' });
  const message = await parseNodeSettings(text).catch((e: Error) => e.message);
  for (const part of [
    'unknown field "maxPods"',
    'podPidsLimit: Invalid value: must be an integer',
    'unknown field "kubeReserved.gpu"',
    'kubeReserved[memory]: Invalid value: "lots": must be a quantity, as 500m or 1Gi',
    'systemReserved[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    'evictionHard[memory.available]: Invalid value: "100%": must be less than 100%',
    'unknown field "evictionHard.cpu.available"',
    'enforceNodeAllocatable[1]: Unsupported value: "kube-reserved": supported values: "none", "pods"',
    'cpuManagerPolicy: Unsupported value: "dynamic": supported values: "none", "static"',
    'reservedSystemCPUs: Invalid value: "first": must be a list of CPUs, as 0-1,4',
    'imageGCHighThresholdPercent: must be a whole number from 0 to 100',
    'seccompDefault: Invalid value: must be a boolean',
    'allowedUnsafeSysctls[0]: Invalid value: "kernel.core_pattern"',
    'staticPodPath: Invalid value: "manifests": must be an absolute path',
  ])
    expect(message).toContain(part);
});

test.each(['', '- a', 'kind: X', '{', `${HEAD}---\n${HEAD}`, '\0', `${HEAD}kubeReserved: 3`])(
  'hostile text %j is refused, not crashed on',
  async (text) => {
    await expect(parseNodeSettings(text)).rejects.toMatchObject({ kind: 'BadRequest' });
  },
);
