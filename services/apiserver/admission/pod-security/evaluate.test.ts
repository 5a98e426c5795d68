import { describe, expect, test } from 'vitest';
import type { PodSpec } from '#lib/api';
import type { PodMetadata } from './check.ts';
import { detailText, evaluate } from './evaluate.ts';
import type { Level, PolicyVersion } from './policy.ts';

type SpecPart = Partial<PodSpec>;

/** A pod of one container that meets the restricted level. */
function restrictedSpec(extra: SpecPart = {}): PodSpec {
  return {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'a',
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
    ...extra,
  };
}

function a(securityContext: NonNullable<PodSpec['containers'][0]['securityContext']>): SpecPart {
  return { containers: [{ name: 'a', securityContext }] };
}

function text(level: Level, version: PolicyVersion, spec: SpecPart, metadata: PodMetadata = {}): string {
  return detailText(evaluate(level, version, metadata, { containers: [], ...spec }));
}

interface Case {
  readonly name: string;
  readonly spec: SpecPart;
  readonly metadata?: PodMetadata;
  readonly version?: PolicyVersion;
  readonly expected: string;
}

const BASELINE: readonly Case[] = [
  {
    name: 'capabilities beyond the default set',
    spec: {
      initContainers: [{ name: 'i', securityContext: { capabilities: { add: ['NET_RAW', 'CHOWN'] } } }],
      containers: [{ name: 'a', securityContext: { capabilities: { add: ['BPF'] } } }],
    },
    expected:
      'non-default capabilities (containers "i", "a" must not include "BPF", "NET_RAW" in securityContext.capabilities.add)',
  },
  {
    name: 'namespaces of the host',
    spec: { hostNetwork: true, hostPID: true, hostIPC: true },
    expected: 'host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)',
  },
  {
    name: 'hostPath volumes',
    spec: { volumes: [{ name: 'v', hostPath: { path: '/' } }] },
    expected: 'hostPath volumes (volume "v")',
  },
  {
    name: 'host ports, as text in order',
    spec: {
      containers: [
        {
          name: 'a',
          ports: [
            { containerPort: 1, hostPort: 90 },
            { containerPort: 2, hostPort: 100 },
          ],
        },
      ],
    },
    expected: 'hostPort (container "a" uses hostPorts 100, 90)',
  },
  {
    name: 'host port 0',
    spec: { containers: [{ name: 'a', ports: [{ containerPort: 1, hostPort: 0 }] }] },
    expected: '',
  },
  {
    name: 'hosts of probes and lifecycle handlers',
    spec: {
      containers: [
        { name: 'b', livenessProbe: { httpGet: { host: '1.1.1.1', port: 1 } } },
        { name: 'a', lifecycle: { preStop: { tcpSocket: { host: 'x', port: 1 } } } },
      ],
    },
    expected: 'probe or lifecycle host (containers "a", "b" use probe or lifecycle hosts "1.1.1.1", "x")',
  },
  {
    name: 'hosts of probes before 1.34',
    version: 33,
    spec: { containers: [{ name: 'b', livenessProbe: { httpGet: { host: '1.1.1.1', port: 1 } } }] },
    expected: '',
  },
  {
    name: 'privileged ephemeral containers',
    spec: { ephemeralContainers: [{ name: 'e', securityContext: { privileged: true } }] },
    expected: 'privileged (container "e" must not set securityContext.privileged=true)',
  },
  {
    name: 'procMount',
    spec: a({ procMount: 'Unmasked' }),
    expected: 'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
  },
  { name: 'procMount in a user namespace', spec: { ...a({ procMount: 'Unmasked' }), hostUsers: false }, expected: '' },
  {
    name: 'procMount in a user namespace before 1.35',
    version: 34,
    spec: { ...a({ procMount: 'Unmasked' }), hostUsers: false },
    expected: 'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
  },
  {
    name: 'sysctls, those of later versions too',
    version: 28,
    spec: {
      securityContext: {
        sysctls: [
          { name: 'kernel.msgmax', value: '1' },
          { name: 'net.ipv4.tcp_rmem', value: '1' },
          { name: 'net.ipv4.ip_local_reserved_ports', value: '1' },
        ],
      },
    },
    expected: 'forbidden sysctls (kernel.msgmax, net.ipv4.tcp_rmem)',
  },
  {
    name: 'windows host processes',
    spec: {
      securityContext: { windowsOptions: { hostProcess: true } },
      ...a({ windowsOptions: { hostProcess: true } }),
    },
    expected: 'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)',
  },
  {
    name: 'AppArmor in fields and annotations',
    spec: { securityContext: { appArmorProfile: { type: 'Unconfined' } } },
    metadata: { annotations: { 'container.apparmor.security.beta.kubernetes.io/a': 'unconfined' } },
    expected:
      'forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/a="unconfined"")',
  },
  {
    name: 'SELinux types, users and roles',
    spec: {
      securityContext: { seLinuxOptions: { type: 'spc_t', user: 'u' } },
      ...a({ seLinuxOptions: { role: 'r' } }),
    },
    expected:
      'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)',
  },
  { name: 'SELinux container_engine_t', spec: a({ seLinuxOptions: { type: 'container_engine_t' } }), expected: '' },
  {
    name: 'SELinux container_engine_t before 1.31',
    version: 30,
    spec: a({ seLinuxOptions: { type: 'container_engine_t' } }),
    expected: 'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")',
  },
  {
    name: 'unconfined seccomp',
    spec: {
      securityContext: { seccompProfile: { type: 'Unconfined' } },
      ...a({ seccompProfile: { type: 'Unconfined' } }),
    },
    expected: 'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
  },
  {
    name: 'seccomp annotations before 1.19',
    version: 18,
    spec: { containers: [{ name: 'a' }] },
    metadata: { annotations: { 'container.seccomp.security.alpha.kubernetes.io/a': 'unconfined' } },
    expected: 'seccompProfile (forbidden annotation container.seccomp.security.alpha.kubernetes.io/a="unconfined")',
  },
];

const RESTRICTED: readonly Case[] = [
  {
    name: 'a plain pod, every reason in the order of kubectl’s users',
    spec: { containers: [{ name: 'a' }] },
    expected:
      'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), ' +
      'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), ' +
      'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), ' +
      'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  },
  { name: 'a restricted pod', spec: restrictedSpec(), expected: '' },
  {
    name: 'added capabilities stand once, for baseline too',
    spec: restrictedSpec(
      a({ allowPrivilegeEscalation: false, capabilities: { add: ['NET_RAW', 'NET_BIND_SERVICE'] } }),
    ),
    expected:
      'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; ' +
      'container "a" must not include "NET_RAW" in securityContext.capabilities.add)',
  },
  {
    name: 'volumes of other types',
    spec: restrictedSpec({
      volumes: [
        { name: 'n', nfs: { server: 's', path: '/' } },
        { name: 'h', hostPath: { path: '/' } },
        { name: 'ok', emptyDir: {} },
      ],
    }),
    expected: 'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
  },
  {
    name: 'explicit root',
    spec: restrictedSpec({
      securityContext: { runAsNonRoot: false, runAsUser: 0, seccompProfile: { type: 'RuntimeDefault' } },
    }),
    expected:
      'runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must not set runAsUser=0)',
  },
  {
    name: 'root in a user namespace',
    spec: restrictedSpec({
      hostUsers: false,
      securityContext: { runAsUser: 0, seccompProfile: { type: 'Localhost', localhostProfile: 'x' } },
    }),
    expected: '',
  },
  {
    name: 'procMount in a user namespace',
    spec: restrictedSpec({
      hostUsers: false,
      ...a({ procMount: 'Unmasked', allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }),
    }),
    expected: 'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
  },
  {
    name: 'pods for Windows',
    spec: { os: { name: 'windows' }, securityContext: { runAsNonRoot: true }, containers: [{ name: 'a' }] },
    expected: '',
  },
  {
    name: 'pods for Windows before 1.25',
    version: 24,
    spec: {
      os: { name: 'windows' },
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [{ name: 'a', securityContext: { capabilities: { drop: ['ALL'] } } }],
    },
    expected:
      'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
  },
  {
    name: 'a plain pod at 1.0',
    version: 0,
    spec: { containers: [{ name: 'a' }] },
    expected: 'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
  },
];

describe('pod security standards (pod-security-admission/policy)', () => {
  test.each(BASELINE)('baseline: $name', ({ spec, metadata, version, expected }) => {
    expect(text('baseline', version ?? 'latest', spec, metadata)).toBe(expected);
  });

  test.each(RESTRICTED)('restricted: $name', ({ spec, metadata, version, expected }) => {
    expect(text('restricted', version ?? 'latest', spec, metadata)).toBe(expected);
  });

  test('privileged forbids nothing', () => {
    for (const { spec, metadata } of [...BASELINE, ...RESTRICTED])
      expect(text('privileged', 'latest', spec, metadata)).toBe('');
  });

  test('law: what baseline forbids, restricted forbids, at every version', () => {
    for (const { spec, metadata } of BASELINE)
      for (let version = 0; version <= 40; version++)
        if (text('baseline', version, spec, metadata) !== '')
          expect(text('restricted', version, spec, metadata)).not.toBe('');
  });

  test('a version from the future is the latest known', () => {
    const spec: SpecPart = { containers: [{ name: 'a' }] };
    expect(text('restricted', 999, spec)).toBe(text('restricted', 'latest', spec));
  });
});
