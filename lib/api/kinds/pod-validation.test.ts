import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import type { Container, Pod, PodSpec } from '../gen/types/core-v1.ts';
import { prepareUpdate } from '../strategy.ts';
import { changed, created, createErrors, updateErrors } from '../testing/prepared.ts';

function pod(spec: object = {}, container: object = {}): object {
  return { metadata: { name: 'p' }, spec: { containers: [{ name: 'a', image: 'x', ...container }], ...spec } };
}

const errorsOf = (spec: object, container: object = {}): string[] => createErrors(Kinds.pods, pod(spec, container));

describe('operating system (validateWindows, validateLinux)', () => {
  test('a pod for Windows has nothing that counts on Linux, whatever else PodSecurity lets it off', () => {
    const windows = { os: { name: 'windows' } };
    expect(errorsOf(windows)).toEqual([]);
    const text = 'Forbidden: cannot be set for a windows pod';
    expect(errorsOf(windows, { securityContext: { capabilities: { add: ['SYS_ADMIN'] }, privileged: false } })).toEqual(
      [
        `spec.containers[0].securityContext.capabilities: ${text}`,
        `spec.containers[0].securityContext.privileged: ${text}`,
      ],
    );
    const init = { name: 'i', image: 'x', securityContext: { allowPrivilegeEscalation: true } };
    expect(errorsOf({ ...windows, hostPID: true, hostUsers: true, initContainers: [init] })).toEqual([
      `spec.hostUsers: ${text}`,
      `spec.hostPID: ${text}`,
      `spec.initContainers[0].securityContext.allowPrivilegeEscalation: ${text}`,
    ]);
    const context = { runAsUser: 0, seLinuxOptions: { type: 't' }, sysctls: [], fsGroup: 1 };
    expect(errorsOf({ ...windows, securityContext: context })).toEqual([
      `spec.securityContext.seLinuxOptions: ${text}`,
      `spec.securityContext.fsGroup: ${text}`,
      `spec.securityContext.runAsUser: ${text}`,
    ]);
  });

  test('a pod for Linux has no options for Windows', () => {
    const windowsOptions = { hostProcess: true };
    expect(errorsOf({ os: { name: 'linux' } }, { securityContext: { windowsOptions } })).toEqual([
      'spec.containers[0].securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod',
    ]);
    expect(errorsOf({ os: { name: 'plan9' } })).toEqual([
      'spec.os.name: Unsupported value: "plan9": supported values: "linux", "windows"',
    ]);
  });
});

describe('security contexts (ValidateSecurityContext)', () => {
  test('profiles', () => {
    const of = (seccompProfile: object): string[] => errorsOf({ securityContext: { seccompProfile } });
    const at = 'spec.securityContext.seccompProfile';
    expect(of({ type: 'Localhost', localhostProfile: 'a/b.json' })).toEqual([]);
    expect(of({ type: 'Localhost', localhostProfile: '../../etc/shadow' })).toEqual([
      `${at}.localhostProfile: Invalid value: "../../etc/shadow": must not contain '..'`,
    ]);
    expect(of({ type: 'Localhost' })).toEqual([
      `${at}.localhostProfile: Required value: must be set when seccomp type is Localhost`,
    ]);
    expect(of({ type: 'Any' })).toEqual([
      `${at}.type: Unsupported value: "Any": supported values: "Localhost", "RuntimeDefault", "Unconfined"`,
    ]);
    const appArmorProfile = { type: 'Localhost', localhostProfile: ' p' };
    expect(errorsOf({}, { securityContext: { appArmorProfile } })).toEqual([
      'spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: " p": must not be padded with whitespace',
    ]);
  });

  test('an unmasked /proc needs a user namespace', () => {
    const securityContext = { procMount: 'Unmasked' };
    expect(errorsOf({}, { securityContext })).toEqual([
      'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
    ]);
    expect(errorsOf({ hostUsers: false }, { securityContext })).toEqual([]);
  });

  test('a user namespace goes with no namespace of the host, and with no device', () => {
    const claim = { name: 'v', persistentVolumeClaim: { claimName: 'c' } };
    const init = { name: 'i', image: 'i', volumeDevices: [{ name: 'v', devicePath: '/dev/x' }] };
    const host = { hostNetwork: true, hostPID: true, hostIPC: true };
    const spec = { hostUsers: false, ...host, volumes: [claim], initContainers: [init] };
    expect(errorsOf(spec)).toEqual([
      'spec.hostNetwork: Forbidden: when `hostUsers` is false',
      'spec.HostPID: Forbidden: when `hostUsers` is false',
      'spec.HostIPC: Forbidden: when `hostUsers` is false',
      'spec.initContainers[0].volumeDevices: Forbidden: when `hostUsers` is false',
    ]);
    expect(errorsOf({ ...spec, hostUsers: true })).toEqual([]);
  });

  test('no sysctl of a namespace that is the host’s, however it is written', () => {
    const of = (name: string, spec: object): string[] =>
      errorsOf({ ...spec, securityContext: { sysctls: [{ name, value: '1' }] } });
    const at = 'spec.securityContext.sysctls[0].name: Invalid value';
    expect(of('net.ipv4.ip_forward', { hostNetwork: true })).toEqual([
      `${at}: "net.ipv4.ip_forward": may not be specified when 'hostNetwork' is true`,
    ]);
    expect(of('net/ipv4/ip_forward', { hostNetwork: true })).toEqual([
      `${at}: "net/ipv4/ip_forward": may not be specified when 'hostNetwork' is true`,
    ]);
    expect(of('kernel.shmmax', { hostIPC: true })).toEqual([
      `${at}: "kernel.shmmax": may not be specified when 'hostIPC' is true`,
    ]);
    expect(of('net.ipv4.ip_forward', { hostIPC: true })).toEqual([]);
  });

  test('only privileged containers pass mounts on to the host', () => {
    const volumes = [{ name: 'v', emptyDir: {} }];
    const volumeMounts = [{ name: 'v', mountPath: '/v', mountPropagation: 'Bidirectional' }];
    expect(errorsOf({ volumes }, { volumeMounts })).toEqual([
      'spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers',
    ]);
    expect(errorsOf({ volumes }, { volumeMounts, securityContext: { privileged: true } })).toEqual([]);
  });
});

describe('resize (ValidatePodResize)', () => {
  const amounts = { requests: { cpu: '1', 'example.com/gpu': '1' }, limits: { cpu: '2', 'example.com/gpu': '1' } };
  const made = created(Kinds.pods, pod({ initContainers: [{ name: 'i', image: 'x' }] }, { resources: amounts }));
  const first = (p: Pod): Container => p.spec.containers[0] as Container;
  const errorsOfResize = (change: (spec: PodSpec, container: Container) => void): string[] =>
    updateErrors(Kinds.pods, made as Pod, (p) => change(p.spec, first(p)), 'resize');

  test('cpu and memory, and nothing else', () => {
    expect(
      errorsOfResize((_, c) => (c.resources = { ...amounts, requests: { ...amounts.requests, cpu: '2' } })),
    ).toEqual([]);
    const two = { requests: { cpu: '1', 'example.com/gpu': '2' }, limits: { cpu: '2', 'example.com/gpu': '2' } };
    expect(errorsOfResize((_, c) => (c.resources = two))).toEqual([
      'spec: Forbidden: only cpu and memory resources are mutable',
    ]);
    const storage = { requests: { ...amounts.requests, 'ephemeral-storage': '1Gi' }, limits: amounts.limits };
    expect(errorsOfResize((_, c) => (c.resources = storage))).toEqual([
      'spec: Forbidden: only cpu and memory resources are mutable',
    ]);
  });

  test('what is there is not taken away, nor are init containers resized, nor others put in', () => {
    const { cpu: _, ...limits } = amounts.limits;
    expect(errorsOfResize((_, c) => (c.resources = { ...amounts, limits }))).toEqual([
      'spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed',
    ]);
    expect(
      errorsOfResize((spec) => {
        for (const c of spec.initContainers ?? []) c.resources = { requests: { cpu: '1' } };
      }),
    ).toEqual(['spec: Forbidden: resources for non-sidecar init containers are immutable']);
    expect(errorsOfResize((spec) => (spec.initContainers = []))).toEqual([
      'spec.initContainers: Forbidden: initContainers may not be added or removed on resize',
    ]);
    expect(errorsOfResize((_, c) => (c.name = 'other'))).toEqual([
      'spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize',
    ]);
  });
});

test('who may write only a subresource does not take over labels, finalizers or owners', () => {
  const made = created(Kinds.pods, pod()) as Pod;
  made.metadata.labels = { app: 'x' };
  for (const subresource of ['resize', 'ephemeralcontainers']) {
    const next = changed(Kinds.pods, made, (p) => {
      p.metadata.labels = { app: 'mine' };
      p.metadata.annotations = { a: 'b' };
      p.metadata.finalizers = ['example.com/f'];
      p.metadata.ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name: 'o', uid: 'u' }];
    });
    prepareUpdate(Kinds.pods, next, made, subresource);
    expect(next.metadata).toEqual(made.metadata);
  }
});

describe('resources (validatePodResources, validateResourceRequirements)', () => {
  test('a pod as a whole asks for no less than its containers, so that quotas and the scheduler see what runs', () => {
    const own = { requests: { cpu: '2', memory: '1Gi' }, limits: { cpu: '3' } };
    expect(errorsOf({ resources: { requests: { cpu: '2' } } }, { resources: own })).toEqual([]);
    expect(errorsOf({ resources: { requests: { cpu: '1m' }, limits: { cpu: '2' } } }, { resources: own })).toEqual([
      'spec.resources.requests[cpu]: Invalid value: "1m": must be greater than or equal to aggregate container requests of 2',
      'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ]);
    const storage = { requests: { 'ephemeral-storage': '1' } };
    expect(errorsOf({ resources: storage })).toEqual([
      'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"',
    ]);
  });

  test('huge pages come with cpu or memory', () => {
    const huge = { 'hugepages-2Mi': '2Mi' };
    expect(errorsOf({}, { resources: { limits: huge } })).toEqual([
      'spec.containers[0].resources: Forbidden: HugePages require cpu or memory',
    ]);
    expect(errorsOf({}, { resources: { limits: { ...huge, cpu: '1' } } })).toEqual([]);
  });
});
