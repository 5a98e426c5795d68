import { expect, test } from 'vitest';
import { DEFAULT_EVICTION_SETTINGS } from './eviction-settings.ts';
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
userNamespaces: {idsPerPod: 131072}
singleProcessOOMKill: true
crashLoopBackOff: {maxContainerRestartPeriod: 1m30s}
`;
  expect(await parseNodeSettings(text)).toEqual({
    podPidsLimit: 100,
    kubeReserved: { cpu: '100m', memory: '256Mi', pid: '500' },
    systemReserved: { cpu: '1', 'ephemeral-storage': '1Gi' },
    ...DEFAULT_EVICTION_SETTINGS,
    shutdownPeriods: [],
    evictionHard: { 'memory.available': '5%', 'nodefs.available': '1Gi' },
    enforcesPods: false,
    singleProcessOOMKill: true,
    cpuManagerPolicy: 'static',
    reservedSystemCPUs: undefined,
    imageGc: { ...DEFAULT_NODE_SETTINGS.imageGc, maximumAgeMs: 48 * 3_600_000 },
    imageVerification: DEFAULT_NODE_SETTINGS.imageVerification,
    seccompDefault: false,
    allowedUnsafeSysctls: ['net.core.*', 'kernel.msgmax'],
    restartDelayMaxMs: 90_000,
    staticPodPath: '/etc/manifests',
    idsPerPod: 131_072,
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
crashLoopBackOff: {maxContainerRestartPeriod: 500ms}
staticPodPath: manifests
userNamespaces: {idsPerPod: 100000}
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
    'crashLoopBackOff.maxContainerRestartPeriod (got: 0.5 seconds) must be set between 1s and 300s',
    'staticPodPath: Invalid value: "manifests": must be an absolute path',
    'userNamespaces.idsPerPod: Invalid value: 100000: must be a multiple of 65536',
  ])
    expect(message).toContain(part);
});

test.each(['', '- a', 'kind: X', '{', `${HEAD}---\n${HEAD}`, '\0', `${HEAD}kubeReserved: 3`])(
  'hostile text %j is refused, not crashed on',
  async (text) => {
    await expect(parseNodeSettings(text)).rejects.toMatchObject({ kind: 'BadRequest' });
  },
);

test('eviction: soft thresholds with their grace periods, and how patient the node is', async () => {
  const text = `${HEAD}evictionSoft: {memory.available: 500Mi, imagefs.inodesFree: 10%}
evictionSoftGracePeriod: {memory.available: 1m30s, imagefs.inodesFree: 2m}
evictionMinimumReclaim: {nodefs.available: 1Gi, memory.available: 0}
evictionMaxPodGracePeriod: 60
evictionPressureTransitionPeriod: 30s
localStorageCapacityIsolation: false
`;
  expect(await parseNodeSettings(text)).toMatchObject({
    evictionHard: DEFAULT_EVICTION_SETTINGS.evictionHard,
    evictionSoft: { 'memory.available': '500Mi', 'imagefs.inodesFree': '10%' },
    evictionSoftGracePeriodMs: { 'memory.available': 90_000, 'imagefs.inodesFree': 120_000 },
    evictionMinimumReclaim: { 'nodefs.available': '1Gi', 'memory.available': '0' },
    evictionMaxPodGracePeriod: 60,
    evictionPressureTransitionPeriodMs: 30_000,
    localStorageCapacityIsolation: false,
  });
  expect(await parseNodeSettings(`${HEAD}evictionPressureTransitionPeriod: 0s\n`)).toEqual(DEFAULT_NODE_SETTINGS);
});

test('eviction: mistakes by their field', async () => {
  const text = `${HEAD}evictionSoft: {memory.available: 500Mi, pid.available: x}
evictionSoftGracePeriod: {nodefs.available: soon, imagefs.available: -1s, disk: 1m}
evictionMaxPodGracePeriod: -1
evictionPressureTransitionPeriod: 5
`;
  const message = await parseNodeSettings(text).catch((e: Error) => e.message);
  for (const part of [
    'grace period must be specified for the soft eviction threshold memory.available',
    'evictionSoft[pid.available]: Invalid value: "x": must be a quantity',
    'evictionSoftGracePeriod[nodefs.available]: Invalid value: "soon": must be a duration that is not negative, as 90s or 1m30s',
    'evictionSoftGracePeriod[imagefs.available]: Invalid value: "-1s": must be a duration that is not negative',
    'unknown field "evictionSoftGracePeriod.disk"',
    'evictionMaxPodGracePeriod: Invalid value: -1: must be between 0 and',
    'evictionPressureTransitionPeriod: Invalid value: must be a string',
  ])
    expect(message).toContain(part);
});

test.each<[string, string, unknown]>([
  ['none', '', []],
  [
    'for critical pods and the rest',
    'shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s\n',
    [
      { priority: 0, graceSeconds: 20 },
      { priority: 2_000_000_000, graceSeconds: 10 },
    ],
  ],
  [
    'by priority',
    `shutdownGracePeriodByPodPriority:
- {priority: 1000, shutdownGracePeriodSeconds: 5}
- {priority: -10, shutdownGracePeriodSeconds: 60}
`,
    [
      { priority: -10, graceSeconds: 60 },
      { priority: 1000, graceSeconds: 5 },
    ],
  ],
])('periods of a shutdown: %s', async (_, text, periods) => {
  expect((await parseNodeSettings(`${HEAD}${text}`)).shutdownPeriods).toEqual(periods);
});

test.each([
  [
    'shutdownGracePeriod: 10s\nshutdownGracePeriodCriticalPods: 20s',
    'must be less than or equal to shutdownGracePeriod',
  ],
  ['shutdownGracePeriod: 500ms', 'shutdownGracePeriod: must be either zero or otherwise >= 1 sec'],
  ['shutdownGracePeriod: 1s\nshutdownGracePeriodByPodPriority: [{priority: 1}]', 'cannot be specified together'],
  ['shutdownGracePeriodByPodPriority: [{priority: x, seconds: 1}]', 'shutdownGracePeriodByPodPriority[0].priority'],
  ['shutdownGracePeriodByPodPriority: 5', 'shutdownGracePeriodByPodPriority: Invalid value: must be a list'],
])('periods of a shutdown, mistakes: %s', async (text, message) => {
  await expect(parseNodeSettings(`${HEAD}${text}\n`)).rejects.toThrow(message);
});
