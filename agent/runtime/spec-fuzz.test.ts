/** Whatever a pod says of its containers: a specification comes out, or a StatusError, and what must hold of it holds. */
import { expect, test } from 'vitest';
import { type Random, StatusError, seededRandom } from '#lib/base';
import { isolate } from './isolation/isolate.ts';
import { withReadyFilter } from './isolation/seccomp.ts';
import { defaultIsolation } from './isolation/settings.ts';
import type { OciSpec } from './oci-spec.ts';
import { ociSpecOf, type SpecInput } from './spec.ts';

const ROUNDS = 1000;
const SEED = 7;
const host = { appArmor: false, seLinux: true, architecture: 'x64', maskedPaths: [], capabilities: ['CAP_CHOWN'] };
const settings = defaultIsolation({ seccompFolder: '/nonexistent', host });

const TEXTS = [
  '',
  ' ',
  '/',
  '..',
  '\n',
  '\0',
  'a=b',
  '=',
  '%s',
  '$(A)',
  '../../etc',
  'é',
  '\ud800',
  'CAP_',
  '-1',
  'x'.repeat(5000),
];
const CAPABILITIES = ['ALL', 'all', 'CAP_ALL', 'SYS_ADMIN', 'cap_sys_admin', 'NET_RAW', 'CAP_CHOWN', 'NONE', ...TEXTS];

class Chaos {
  readonly #r: Random;
  constructor(r: Random) {
    this.#r = r;
  }
  one<T>(all: readonly T[]): T {
    return all[Math.floor(this.#r.next() * all.length)] as T;
  }
  /** Absent half of the time. */
  maybe<T>(...all: readonly T[]): T | undefined {
    return this.#r.next() < 0.5 ? undefined : this.one(all);
  }
  some<T>(all: readonly T[]): T[] {
    return Array.from({ length: Math.floor(this.#r.next() * 4) }, () => this.one(all));
  }
  profile(): object | undefined {
    const type = this.maybe('RuntimeDefault', 'Unconfined', 'Localhost', 'localhost', '');
    return type === undefined ? undefined : { type, localhostProfile: this.maybe(...TEXTS) };
  }
  security(): Record<string, unknown> | undefined {
    return this.maybe({
      privileged: this.maybe(true, false),
      allowPrivilegeEscalation: this.maybe(true, false),
      readOnlyRootFilesystem: this.maybe(true, false),
      procMount: this.maybe('Default', 'Unmasked', ...TEXTS),
      capabilities: this.maybe({ add: this.maybe(this.some(CAPABILITIES)), drop: this.maybe(this.some(CAPABILITIES)) }),
      seccompProfile: this.profile(),
      seLinuxOptions: this.maybe({ level: this.one(TEXTS), type: this.maybe(...TEXTS) }),
    });
  }
  input(): SpecInput {
    const flag = (): boolean | undefined => this.maybe(true, false);
    const target = (): string => `/${this.some(TEXTS).join('/')}`;
    return {
      pod: {
        metadata: { name: 'p', annotations: { 'run.oci.seccomp_bpf_data': '', 'run.oci.keep_original_groups': '1' } },
        spec: {
          containers: [],
          hostNetwork: flag(),
          hostPID: flag(),
          hostIPC: flag(),
          securityContext: this.security(),
        },
      } as never,
      container: {
        name: 'c',
        tty: flag(),
        workingDir: this.maybe(...TEXTS),
        securityContext: this.security(),
      } as never,
      image: {
        user: this.one(TEXTS),
        env: this.some(TEXTS),
        entrypoint: [],
        cmd: [],
        workingDir: this.one(TEXTS),
        stopSignal: '',
        volumes: [],
        labels: {},
      },
      rootfs: '/r',
      cgroupPath: '/berth/pod/c',
      namespaces: this.one([{}, { network: '/n', ipc: '/i', uts: '/u' }]),
      environment: new Map(this.some(TEXTS).map((k) => [k, this.one(TEXTS)])),
      args: this.some(TEXTS),
      user: { uid: this.one([0, 1, 65_534, 4_294_967_294]), gid: 0, additionalGids: [] },
      binds: this.some(['rprivate', 'rslave', 'rshared'] as const).map((propagation) => ({
        source: '/s',
        target: target(),
        readOnly: true,
        propagation,
      })),
      resources: { cpu: { shares: 2 } },
      oomScoreAdj: this.one([-997, 0, 1000]),
      hostname: 'h',
      hasCgroupNamespace: this.one([true, false]),
    };
  }
}

test(`spec: the laws of a specification, for ${ROUNDS} pods that say anything (seed ${SEED})`, async () => {
  const chaos = new Chaos(seededRandom(SEED));
  let made = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const input = chaos.input();
    let spec: OciSpec;
    try {
      spec = await isolate(ociSpecOf(input), { pod: input.pod, container: input.container }, settings);
    } catch (e) {
      if (!(e instanceof StatusError)) throw new Error(`round ${round}`, { cause: e });
      continue;
    }
    made++;
    expect([round, lawsBroken(input, spec)]).toEqual([round, []]);
  }
  expect(made).toBeGreaterThan(ROUNDS / 3);
});

function lawsBroken(i: SpecInput, spec: OciSpec): string[] {
  const s = i.container.securityContext;
  const profile = s?.seccompProfile ?? i.pod.spec.securityContext?.seccompProfile;
  const { capabilities, noNewPrivileges } = spec.process;
  const isPrivileged = s?.privileged === true;
  const forCrun = withReadyFilter(spec);
  const depths = spec.mounts.slice(6).map((m) => m.destination.split('/').filter((p) => p !== '').length);
  const laws: Record<string, boolean> = {
    'confined unless privileged or asked otherwise':
      isPrivileged || spec.linux.seccomp !== undefined || profile?.type === 'Unconfined',
    'a filter in one form or the other':
      (forCrun.linux.seccomp !== undefined) !== (forCrun.annotations !== undefined) || spec.linux.seccomp === undefined,
    'no annotation of the pod': Object.keys(forCrun.annotations ?? {}).every((k) => k === 'run.oci.seccomp_bpf_data'),
    'masked unless privileged or unmasked':
      isPrivileged || s?.procMount === 'Unmasked' || (spec.linux.maskedPaths ?? []).includes('/proc/kcore'),
    'devices denied unless privileged': isPrivileged || spec.linux.resources.devices?.[0]?.allow === false,
    'no host devices unless privileged': isPrivileged === (spec.linux.devices !== undefined),
    'no_new_privs where it is asked for': s?.allowPrivilegeEscalation !== false || noNewPrivileges,
    'nothing held that is not in the bounding set': capabilities.effective.every((c) =>
      capabilities.bounding.includes(c),
    ),
    'nothing is inherited': capabilities.inheritable.length === 0 && capabilities.ambient.length === 0,
    'only root holds any': i.user.uid === 0 || capabilities.effective.length === 0,
    'a mount namespace of its own': spec.linux.namespaces.some((n) => n.type === 'mount' && n.path === undefined),
    'outer mounts first': depths.every((d, at) => at === 0 || d >= (depths[at - 1] ?? 0)),
  };
  return Object.entries(laws)
    .filter(([, holds]) => !holds)
    .map(([law]) => law);
}
