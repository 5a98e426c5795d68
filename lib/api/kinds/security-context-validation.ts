/**
 * Security contexts of pods and containers, and what pods of one operating system may not have. PodSecurity lets pods for
 * Windows off most of its restricted checks because these rules leave them nothing that counts on Linux.
 * Source: pkg/apis/core/validation validatePodSpecSecurityContext, ValidateSecurityContext, validateLinux, validateWindows.
 */
import { type FieldError, invalid, required, tooLong } from '../field-error.ts';
import type {
  AppArmorProfile,
  Container,
  EphemeralContainer,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
} from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { localPath } from '../validation/local-path.ts';
import { validateUnique } from '../validation/metadata.ts';
import { betweenText, dns1123Subdomain } from '../validation/names.ts';

const ID_MAX = 2 ** 31 - 1;
const PROFILE_TYPES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
/** PATH_MAX without the final zero. */
const PROFILE_PATH_MAX = 4095;
const SYSCTL_MAX = 253;
const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9]$/;
const SYSCTL_TEXT =
  'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$';

export function validatePodSecurityContext(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const at = `${path}.securityContext`;
  const context = spec.securityContext;
  if (spec.hostPID && spec.shareProcessNamespace)
    errors.add(
      invalid(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'),
    );
  if (context === undefined) return errors.list;
  for (const name of ['fsGroup', 'runAsUser', 'runAsGroup'] as const)
    validateId(context[name], `${at}.${name}`, errors);
  for (const [i, id] of (context.supplementalGroups ?? []).entries())
    validateId(id, `${at}.supplementalGroups[${i}]`, errors);
  errors.oneOf(`${at}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ['Always', 'OnRootMismatch']);
  errors.oneOf(`${at}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, ['Merge', 'Strict']);
  errors.oneOf(`${at}.seLinuxChangePolicy`, context.seLinuxChangePolicy, ['MountOption', 'Recursive']);
  errors.add(...validateSysctls(spec, `${at}.sysctls`), ...validateProfiles(context, at));
  return errors.list;
}

export function validateSecurityContext(context: SecurityContext, spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  for (const name of ['runAsUser', 'runAsGroup'] as const) validateId(context[name], `${path}.${name}`, errors);
  errors.oneOf(`${path}.procMount`, context.procMount, ['Default', 'Unmasked']);
  if (context.procMount === 'Unmasked' && spec.hostUsers !== false)
    errors.add(invalid(`${path}.procMount`, context.procMount, '`hostUsers` must be false to use `Unmasked`'));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged)
      errors.add(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
    if (context.capabilities?.add?.includes('CAP_SYS_ADMIN'))
      errors.add(
        invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'),
      );
  }
  errors.add(...validateProfiles(context, path));
  return errors.list;
}

function validateId(id: number | undefined, at: string, errors: Errors): void {
  if (typeof id === 'number' && (id < 0 || id > ID_MAX)) errors.add(invalid(at, id, betweenText(0, ID_MAX)));
}

function validateProfiles(context: PodSecurityContext | SecurityContext, at: string): FieldError[] {
  const errors = new Errors();
  if (context.seccompProfile !== undefined)
    errors.add(...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`));
  if (context.appArmorProfile !== undefined)
    errors.add(...validateAppArmor(context.appArmorProfile, `${at}.appArmorProfile`));
  const spec = context.windowsOptions?.gmsaCredentialSpecName;
  if (spec !== undefined) errors.check(`${at}.windowsOptions.gmsaCredentialSpecName`, spec, dns1123Subdomain);
  return errors.list;
}

function validateSeccomp(profile: SeccompProfile, at: string): FieldError[] {
  const errors = new Errors();
  const { type, localhostProfile } = profile;
  if (!type) errors.add(required(`${at}.type`, 'type is required when seccompProfile is set'));
  else errors.oneOf(`${at}.type`, type, PROFILE_TYPES);
  const path = `${at}.localhostProfile`;
  if (type !== 'Localhost') {
    if (localhostProfile !== undefined)
      errors.add(invalid(path, profile, 'can only be set when seccomp type is Localhost'));
  } else if (localhostProfile === undefined) errors.add(required(path, 'must be set when seccomp type is Localhost'));
  else errors.add(...localPath(localhostProfile, path));
  return errors.list;
}

function validateAppArmor({ type, localhostProfile }: AppArmorProfile, at: string): FieldError[] {
  const errors = new Errors();
  const path = `${at}.localhostProfile`;
  if (!type) errors.add(required(`${at}.type`, 'type is required when appArmorProfile is set'));
  else errors.oneOf(`${at}.type`, type, PROFILE_TYPES);
  if (type === 'Localhost') {
    if (!localhostProfile) errors.add(required(path, 'must be set when AppArmor type is Localhost'));
    else {
      if (localhostProfile.trim() !== localhostProfile)
        errors.add(invalid(path, localhostProfile, 'must not be padded with whitespace'));
      if (Buffer.byteLength(localhostProfile) > PROFILE_PATH_MAX) errors.add(tooLong(path, PROFILE_PATH_MAX));
    }
  } else if (localhostProfile !== undefined && PROFILE_TYPES.includes(type))
    errors.add(invalid(path, localhostProfile, 'can only be set when AppArmor type is Localhost'));
  return errors.list;
}

/** Of a namespace that is the host's, no sysctl may be set. */
function validateSysctls(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const sysctls = spec.securityContext?.sysctls ?? [];
  errors.add(
    ...validateUnique(
      sysctls.map((s) => s.name),
      (i) => `${path}[${i}].name`,
    ),
  );
  eachItem(sysctls, path, ({ name }, at) => {
    if (!name) errors.add(required(`${at}.name`));
    else if (name.length > SYSCTL_MAX || !SYSCTL.test(name)) errors.add(invalid(`${at}.name`, name, SYSCTL_TEXT));
    const namespace = namespaceOfSysctl(name ?? '');
    if (spec.hostNetwork && namespace === 'net')
      errors.add(invalid(`${at}.name`, name, "may not be specified when 'hostNetwork' is true"));
    if (spec.hostIPC && namespace === 'ipc')
      errors.add(invalid(`${at}.name`, name, "may not be specified when 'hostIPC' is true"));
  });
  return errors.list;
}

const IPC_SYSCTLS = new Set([
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
  'kernel.shm',
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.msg',
]);

/** undefined: of the whole host. Source: k8s.io/component-helpers/node/util/sysctl GetNamespace. */
function namespaceOfSysctl(name: string): 'net' | 'ipc' | undefined {
  /* A name may be written with slashes; then dots are part of its words. */
  const isSlashed = /^[^.]*\//.test(name);
  const dotted = isSlashed ? name.replace(/[./]/g, (c) => (c === '/' ? '.' : '/')) : name;
  if (dotted.startsWith('net.')) return 'net';
  const isIpc = IPC_SYSCTLS.has(dotted) || dotted.startsWith('fs.mqueue.');
  return isIpc ? 'ipc' : undefined;
}

/** What the operating system that the pod names knows nothing of. */
export function validateOsFields(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  if (spec.os === undefined) return errors.list;
  errors.requiredOneOf(`${path}.os.name`, spec.os.name, ['linux', 'windows']);
  if (spec.os.name === 'linux') {
    const text = 'windows options cannot be set for a linux pod';
    const check = (context: PodSecurityContext | SecurityContext | undefined, at: string): void =>
      errors.forbid(`${at}.windowsOptions`, context?.windowsOptions !== undefined, text);
    check(spec.securityContext, `${path}.securityContext`);
    eachContainer(spec, path, (c, at) => check(c.securityContext, `${at}.securityContext`));
  }
  if (spec.os.name === 'windows') errors.add(...linuxFields(spec, path));
  return errors.list;
}

const LINUX_OF_POD = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'fsGroup',
  'fsGroupChangePolicy',
  'sysctls',
  'runAsUser',
  'runAsGroup',
  'supplementalGroups',
  'supplementalGroupsPolicy',
  'seLinuxChangePolicy',
] as const;

const LINUX_OF_CONTAINER = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'capabilities',
  'readOnlyRootFilesystem',
  'privileged',
  'allowPrivilegeEscalation',
  'procMount',
  'runAsUser',
  'runAsGroup',
] as const;

function linuxFields(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const text = 'cannot be set for a windows pod';
  errors.forbid(`${path}.hostUsers`, spec.hostUsers !== undefined, text);
  errors.forbid(`${path}.hostPID`, spec.hostPID === true, text);
  errors.forbid(`${path}.hostIPC`, spec.hostIPC === true, text);
  errors.forbid(`${path}.shareProcessNamespace`, spec.shareProcessNamespace !== undefined, text);
  errors.forbid(`${path}.resources`, spec.resources !== undefined, 'may not be set for a windows pod');
  const context = spec.securityContext ?? {};
  for (const name of LINUX_OF_POD) {
    const isEmpty = name === 'sysctls' && context.sysctls?.length === 0;
    errors.forbid(`${path}.securityContext.${name}`, context[name] !== undefined && !isEmpty, text);
  }
  eachContainer(spec, path, (c, at) => {
    for (const name of LINUX_OF_CONTAINER)
      errors.forbid(`${at}.securityContext.${name}`, c.securityContext?.[name] !== undefined, text);
  });
  return errors.list;
}

/** Of all kinds of containers. */
export function eachContainer(
  spec: PodSpec,
  path: string,
  each: (container: Container | EphemeralContainer, path: string) => void,
): void {
  for (const name of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    eachItem<Container | EphemeralContainer>(spec[name], `${path}.${name}`, each);
}
