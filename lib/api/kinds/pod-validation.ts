/**
 * Validation of pods and pod templates. Source: pkg/apis/core/validation/validation.go (ValidatePodSpec and what it calls).
 * Expects a defaulted spec.
 */
import { type FieldError, forbidden, invalid, required } from '../field-error.ts';
import type { Pod, PodSpec, PodTemplateSpec, Toleration } from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { validateAnnotations, validateFinalizers, validateLabels, validateUnique } from '../validation/metadata.ts';
import {
  betweenText,
  dns1123Label,
  dns1123Subdomain,
  ipAddress,
  labelValue,
  qualifiedName,
} from '../validation/names.ts';
import { validateAffinity, validateSpread } from './affinity-validation.ts';
import { validateContainers, validateEphemeralContainers, validateInitContainers } from './container-validation.ts';
import { validatePodResources, validateResources } from './resource-validation.ts';
import { eachContainer, validateOsFields, validatePodSecurityContext } from './security-context-validation.ts';
import { validateVolumes } from './volume-validation.ts';

const INT32_MAX = 2 ** 31 - 1;
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

/** What a new pod cannot have. */
export function validateNewPod({ spec }: Pod): FieldError[] {
  const errors = new Errors();
  errors.forbid('spec.ephemeralContainers', (spec.ephemeralContainers?.length ?? 0) > 0, 'cannot be set on create');
  errors.forbid(
    'spec.nodeName',
    (spec.schedulingGates?.length ?? 0) > 0 && Boolean(spec.nodeName),
    'cannot be set until all schedulingGates have been cleared',
  );
  return errors.list;
}

export function validatePod(pod: Pod): FieldError[] {
  const errors = new Errors();
  errors.add(...validatePodSpec(pod.spec, 'spec'));
  for (const name of ['containers', 'initContainers'] as const)
    eachItem(pod.spec[name], `spec.${name}`, (c, at) => {
      if (c.image !== undefined && c.image.trim() !== c.image)
        errors.add(invalid(`${at}.image`, c.image, 'must not have leading or trailing whitespace'));
    });
  errors.add(...hostNetworkPorts(pod.spec, 'spec', { isPod: true }));
  const mirror = pod.metadata.annotations?.['kubernetes.io/config.mirror'];
  if (mirror !== undefined && !pod.spec.nodeName)
    errors.add(
      invalid(
        'metadata.annotations[kubernetes.io/config.mirror]',
        mirror,
        'must set spec.nodeName if mirror pod annotation is set',
      ),
    );
  return errors.list;
}

export function validatePodTemplate(template: PodTemplateSpec, path: string): FieldError[] {
  const errors = new Errors();
  const meta = template.metadata;
  errors.add(...validateLabels(meta?.labels, `${path}.metadata.labels`));
  errors.add(...validateAnnotations(meta?.annotations, `${path}.metadata.annotations`));
  errors.add(...validateFinalizers(meta?.finalizers, `${path}.metadata.finalizers`));
  errors.add(...validatePodSpec(template.spec ?? ({} as PodSpec), `${path}.spec`));
  if (template.spec !== undefined) errors.add(...hostNetworkPorts(template.spec, `${path}.spec`, { isPod: false }));
  if ((template.spec?.ephemeralContainers?.length ?? 0) > 0)
    errors.add(forbidden(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'));
  return errors.list;
}

export function validatePodSpec(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const volumes = new Map((spec.volumes ?? []).map((v) => [v.name, v]));
  errors.add(...validateVolumes(spec.volumes, `${path}.volumes`));
  errors.add(...validateContainers(spec, volumes, `${path}.containers`));
  errors.add(...validateInitContainers(spec, volumes, `${path}.initContainers`));
  errors.add(...validateEphemeralContainers(spec, volumes, `${path}.ephemeralContainers`));
  errors.requiredOneOf(`${path}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never']);
  errors.requiredOneOf(`${path}.dnsPolicy`, spec.dnsPolicy, DNS_POLICIES);
  errors.add(...validateLabels(spec.nodeSelector, `${path}.nodeSelector`));
  errors.add(...validatePodSecurityContext(spec, path));
  errors.add(...validateAffinity(spec.affinity, `${path}.affinity`));
  errors.add(...validateDns(spec, path));
  errors.add(...validateNames(spec, path));
  const { activeDeadlineSeconds: deadline } = spec;
  if (typeof deadline === 'number' && (deadline < 1 || deadline > INT32_MAX))
    errors.add(invalid(`${path}.activeDeadlineSeconds`, deadline, betweenText(1, INT32_MAX)));
  errors.add(...validateTolerations(spec.tolerations, `${path}.tolerations`));
  errors.add(...validateSpread(spec.topologySpreadConstraints, `${path}.topologySpreadConstraints`));
  errors.add(...validateGates(spec, path));
  errors.add(...validatePodResources(spec, `${path}.resources`));
  if (spec.overhead !== undefined) errors.add(...validateResources({ limits: spec.overhead }, `${path}.overhead`));
  errors.add(...validateHostUsers(spec, path));
  errors.oneOf(`${path}.preemptionPolicy`, spec.preemptionPolicy, ['PreemptLowerPriority', 'Never']);
  errors.add(...validateOsFields(spec, path));
  return errors.list;
}

/** Fields that name something. */
function validateNames(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const optional = (name: 'serviceAccountName' | 'nodeName' | 'priorityClassName' | 'runtimeClassName'): void => {
    const value = spec[name];
    if (value) errors.check(`${path}.${name}`, value, dns1123Subdomain);
  };
  optional('serviceAccountName');
  optional('nodeName');
  if (spec.hostname) errors.check(`${path}.hostname`, spec.hostname, dns1123Label);
  if (spec.subdomain) errors.check(`${path}.subdomain`, spec.subdomain, dns1123Label);
  optional('priorityClassName');
  optional('runtimeClassName');
  eachItem(spec.hostAliases, `${path}.hostAliases`, (alias, at) => {
    errors.check(`${at}.ip`, alias.ip, ipAddress);
    eachItem(alias.hostnames, `${at}.hostnames`, (name) => errors.check(`${at}.hostnames`, name, dns1123Subdomain));
  });
  return errors.list;
}

function validateDns(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const at = `${path}.dnsConfig`;
  const config = spec.dnsConfig;
  if (spec.dnsPolicy === 'None') {
    if (config === undefined) errors.add(required(at, 'must provide `dnsConfig` when `dnsPolicy` is None'));
    else if ((config.nameservers?.length ?? 0) === 0)
      errors.add(required(`${at}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'));
  }
  if (config === undefined) return errors.list;
  if ((config.nameservers?.length ?? 0) > 3)
    errors.add(invalid(`${at}.nameservers`, config.nameservers, 'must not have more than 3 nameservers'));
  for (const [i, server] of (config.nameservers ?? []).entries())
    errors.check(`${at}.nameservers[${i}]`, server, ipAddress);
  const searches = config.searches ?? [];
  if (searches.length > 32) errors.add(invalid(`${at}.searches`, searches, 'must not have more than 32 search paths'));
  if (searches.join(' ').length > 2048)
    errors.add(
      invalid(
        `${at}.searches`,
        searches,
        'must not have more than 2048 characters (including spaces) in the search list',
      ),
    );
  for (const [i, search] of searches.entries())
    if (search !== '.')
      errors.check(`${at}.searches[${i}]`, search.replace(/\.$/, '').replaceAll('_', 'a'), dns1123Subdomain);
  for (const [i, option] of (config.options ?? []).entries())
    if (!option.name) errors.add(required(`${at}.options[${i}]`, 'must not be empty'));
  return errors.list;
}

function validateGates(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  eachItem(spec.readinessGates, `${path}.readinessGates`, (gate, at) =>
    errors.check(`${at}.conditionType`, gate.conditionType ?? '', qualifiedName),
  );
  const gates = spec.schedulingGates ?? [];
  eachItem(gates, `${path}.schedulingGates`, (gate, at) => errors.check(`${at}`, gate.name, qualifiedName));
  errors.add(
    ...validateUnique(
      gates.map((g) => g.name),
      (i) => `${path}.schedulingGates[${i}]`,
    ),
  );
  return errors.list;
}

export function validateTolerations(list: readonly Toleration[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  eachItem(list, path, (t, at) => {
    if (t.key) errors.check(`${at}.key`, t.key, qualifiedName);
    else if (t.operator !== 'Exists')
      errors.add(
        invalid(
          `${at}.operator`,
          t.operator ?? '',
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    if (typeof t.tolerationSeconds === 'number' && t.effect !== 'NoExecute')
      errors.add(invalid(`${at}.effect`, t.effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    if (t.operator === 'Exists') {
      if (t.value) errors.add(invalid(`${at}.operator`, t, "value must be empty when `operator` is 'Exists'"));
    } else if (!t.operator || t.operator === 'Equal') {
      const messages = labelValue(t.value ?? '');
      if (messages.length > 0) errors.add(invalid(`${at}.operator`, t.value, messages.join(';')));
    } else errors.oneOf(`${at}.operator`, t.operator, ['Equal', 'Exists']);
    if (t.effect) errors.oneOf(`${at}.effect`, t.effect, EFFECTS);
  });
  return errors.list;
}

/** On the host network a container's port is the host's. A template may leave the host port to the pod's defaults. */
function hostNetworkPorts(spec: PodSpec, path: string, o: { isPod: boolean }): FieldError[] {
  const errors = new Errors();
  if (!spec.hostNetwork) return [];
  eachItem(spec.containers, `${path}.containers`, (c, at) => {
    eachItem(c.ports, `${at}.ports`, (p, where) => {
      const hostPort = p.hostPort ?? 0;
      if ((o.isPod || hostPort !== 0) && hostPort !== p.containerPort)
        errors.add(invalid(`${where}.hostPort`, hostPort, 'must match `containerPort` when `hostNetwork` is true'));
    });
  });
  return errors.list;
}

/** A user namespace of its own goes with none of the host's other namespaces, nor with devices, which cannot be idmapped. */
function validateHostUsers(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  if (spec.hostUsers !== false) return [];
  const text = 'when `hostUsers` is false';
  errors.forbid(`${path}.hostNetwork`, spec.hostNetwork === true, text);
  errors.forbid(`${path}.HostPID`, spec.hostPID === true, text);
  errors.forbid(`${path}.HostIPC`, spec.hostIPC === true, text);
  eachContainer(spec, path, (c, at) => errors.forbid(`${at}.volumeDevices`, (c.volumeDevices ?? []).length > 0, text));
  return errors.list;
}
