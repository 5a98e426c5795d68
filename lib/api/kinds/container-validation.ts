/** Containers of a pod. Source: pkg/apis/core/validation validateContainers, ValidateEnv, ValidateVolumeMounts, validateContainerPorts. */
import { duplicate, type FieldError, forbidden, invalid, notFound, required, tooMany } from '../field-error.ts';
import type { Container, ContainerPort, EnvFromSource, EnvVar, PodSpec, Volume } from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { localPath } from '../validation/local-path.ts';
import { validateUnique } from '../validation/metadata.ts';
import { configMapKey, dns1123Label, envVarName, portName, portNumber } from '../validation/names.ts';
import { validateFileKeySelector, validateFileKeyVolumes } from './file-key-validation.ts';
import { validateLifecycle, validateProbes } from './probe-validation.ts';
import { validateResources } from './resource-validation.ts';
import { validateSecurityContext } from './security-context-validation.ts';

export type Volumes = ReadonlyMap<string, Volume>;

export function validateContainers(spec: PodSpec, volumes: Volumes, path: string): FieldError[] {
  const errors = new Errors();
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [required(path)];
  const names = new Set<string>();
  eachItem(containers, path, (c, at) => {
    errors.add(...validateContainer(c, spec, volumes, at));
    if (names.has(c.name)) errors.add(duplicate(`${at}.name`, c.name));
    names.add(c.name);
    errors.add(...validateLifecycle(c.lifecycle, spec, `${at}.lifecycle`));
    errors.add(...validateProbes(c, at));
    errors.add(...validateRestart(c, at));
  });
  errors.add(...hostPortConflicts(containers, path));
  return errors.list;
}

export function validateInitContainers(spec: PodSpec, volumes: Volumes, path: string): FieldError[] {
  const errors = new Errors();
  const names = new Set((spec.containers ?? []).map((c) => c.name));
  eachItem(spec.initContainers, path, (c, at) => {
    errors.add(...validateContainer(c, spec, volumes, at));
    errors.add(...validateRestart(c, at));
    if (names.has(c.name)) errors.add(duplicate(`${at}.name`, c.name));
    if (c.name) names.add(c.name);
    errors.add(...hostPortConflicts([c], path));
    if (c.restartPolicy === 'Always') {
      errors.add(...validateLifecycle(c.lifecycle, spec, `${at}.lifecycle`));
      errors.add(...validateProbes(c, at));
      return;
    }
    const text = 'may not be set for init containers without restartPolicy=Always';
    for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
      errors.forbid(`${at}.${name}`, c[name] !== undefined, text);
  });
  return errors.list;
}

const RESTART_POLICIES = ['Always', 'Never', 'OnFailure'];
const RESTART_ACTIONS = ['Restart', 'RestartAllContainers'];

function validateRestart(c: Container, at: string): FieldError[] {
  const errors = new Errors();
  const rules = c.restartPolicyRules ?? [];
  if (c.restartPolicy === undefined && rules.length > 0)
    errors.add(required(`${at}.restartPolicy`, 'must specify restartPolicy when restart rules are used'));
  errors.oneOf(`${at}.restartPolicy`, c.restartPolicy, RESTART_POLICIES);
  if (rules.length > 20) errors.add(tooMany(`${at}.restartPolicyRules`, rules.length, 20));
  eachItem(rules, `${at}.restartPolicyRules`, (rule, where) => {
    errors.oneOf(`${where}.action`, rule.action, RESTART_ACTIONS);
    if (rule.exitCodes === undefined) errors.add(required(`${where}.exitCodes`, 'must be specified'));
    else errors.oneOf(`${where}.exitCodes.operator`, rule.exitCodes.operator, ['In', 'NotIn']);
  });
  return errors.list;
}

export function validateEphemeralContainers(spec: PodSpec, volumes: Volumes, path: string): FieldError[] {
  const errors = new Errors();
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const names = new Set(others.map((c) => c.name));
  eachItem(spec.ephemeralContainers, path, (c, at) => {
    errors.add(...validateContainer(c as Container, spec, volumes, at));
    if (names.has(c.name)) errors.add(duplicate(`${at}.name`, c.name));
    names.add(c.name);
    if (c.targetContainerName && !others.some((o) => o.name === c.targetContainerName))
      errors.add(notFound(`${at}.targetContainerName`, c.targetContainerName));
    const text = 'cannot be set for an Ephemeral Container';
    for (const name of ['ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'] as const)
      errors.forbid(`${at}.${name}`, c[name] !== undefined, text);
    errors.forbid(`${at}.resources`, Object.keys(c.resources ?? {}).length > 0, text);
    eachItem(c.volumeMounts, `${at}.volumeMounts`, (m, where) => {
      errors.forbid(`${where}.subPath`, Boolean(m.subPath), text);
      errors.forbid(`${where}.subPathExpr`, Boolean(m.subPathExpr), text);
    });
  });
  return errors.list;
}

function validateContainer(c: Container, spec: PodSpec, volumes: Volumes, at: string): FieldError[] {
  const errors = new Errors();
  if (!c.name) errors.add(required(`${at}.name`));
  else errors.check(`${at}.name`, c.name, dns1123Label);
  const { image = '' } = c;
  if (image === '') errors.add(required(`${at}.image`));
  errors.requiredOneOf(`${at}.terminationMessagePolicy`, c.terminationMessagePolicy, ['File', 'FallbackToLogsOnError']);
  errors.add(...validatePorts(c.ports, `${at}.ports`));
  errors.add(...validateEnv(c.env, `${at}.env`));
  errors.add(...validateEnvFrom(c.envFrom, `${at}.envFrom`));
  errors.add(...validateFileKeyVolumes(c.env, volumes, `${at}.env`));
  errors.add(...validateMounts(c, volumes, `${at}.volumeMounts`));
  eachItem(c.volumeDevices, `${at}.volumeDevices`, (d, where) => {
    if (!d.name) errors.add(required(`${where}.name`));
    else if (!volumes.has(d.name)) errors.add(notFound(`${where}.name`, d.name));
    if (!d.devicePath) errors.add(required(`${where}.devicePath`));
  });
  errors.requiredOneOf(`${at}.imagePullPolicy`, c.imagePullPolicy, ['Always', 'IfNotPresent', 'Never']);
  if (c.resources !== undefined) errors.add(...validateResources(c.resources, `${at}.resources`));
  const resized = (c.resizePolicy ?? []).map((p) => p.resourceName);
  errors.add(...validateUnique(resized, (i) => `${at}.resizePolicy[${i}]`));
  for (const p of c.resizePolicy ?? []) {
    errors.requiredOneOf(`${at}.resizePolicy`, p.resourceName, ['cpu', 'memory']);
    errors.requiredOneOf(`${at}.resizePolicy`, p.restartPolicy, ['NotRequired', 'RestartContainer']);
  }
  if (c.securityContext !== undefined)
    errors.add(...validateSecurityContext(c.securityContext, spec, `${at}.securityContext`));
  return errors.list;
}

function validatePorts(ports: readonly ContainerPort[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  const names = new Set<string>();
  eachItem(ports, path, (p, at) => {
    if (p.name) {
      const messages = portName(p.name);
      for (const m of messages) errors.add(invalid(`${at}.name`, p.name, m));
      if (messages.length === 0 && names.has(p.name)) errors.add(duplicate(`${at}.name`, p.name));
      names.add(p.name);
    }
    if (!p.containerPort) errors.add(required(`${at}.containerPort`));
    else for (const m of portNumber(p.containerPort)) errors.add(invalid(`${at}.containerPort`, p.containerPort, m));
    if (p.hostPort) for (const m of portNumber(p.hostPort)) errors.add(invalid(`${at}.hostPort`, p.hostPort, m));
    errors.requiredOneOf(`${at}.protocol`, p.protocol, ['SCTP', 'TCP', 'UDP']);
  });
  return errors.list;
}

/** Two containers cannot have the same port of the host. */
function hostPortConflicts(containers: readonly Container[], path: string): FieldError[] {
  const errors = new Errors();
  const taken = new Set<string>();
  eachItem(containers, path, (c, at) => {
    eachItem(c.ports, `${at}.ports`, (p, where) => {
      if (!p.hostPort) return;
      const text = `${p.hostIP ?? ''}/${p.hostPort}/${p.protocol ?? 'TCP'}`;
      if (taken.has(text)) errors.add(duplicate(`${where}.hostPort`, text));
      taken.add(text);
    });
  });
  return errors.list;
}

const FIELD_PATHS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
const RESOURCES = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

function validateEnv(env: readonly EnvVar[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  eachItem(env, path, (v, at) => {
    if (!v.name) errors.add(required(`${at}.name`));
    else errors.check(`${at}.name`, v.name, envVarName);
    if (v.valueFrom !== undefined) errors.add(...validateEnvSource(v, `${at}.valueFrom`));
  });
  return errors.list;
}

function validateEnvSource(v: EnvVar, at: string): FieldError[] {
  const errors = new Errors();
  const source = v.valueFrom ?? {};
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  if (fieldRef !== undefined) errors.add(...validateFieldRef(fieldRef.fieldPath, FIELD_PATHS, `${at}.fieldRef`));
  if (resourceFieldRef !== undefined) {
    if (!resourceFieldRef.resource) errors.add(required(`${at}.resourceFieldRef.resource`));
    else if (!/^(limits|requests)\.hugepages-/.test(resourceFieldRef.resource))
      errors.oneOf(`${at}.resourceFieldRef.resource`, resourceFieldRef.resource, RESOURCES);
  }
  if (fileKeyRef !== undefined) errors.add(...validateFileKeySelector(fileKeyRef, `${at}.fileKeyRef`));
  for (const [name, ref] of [
    ['configMapKeyRef', configMapKeyRef],
    ['secretKeyRef', secretKeyRef],
  ] as const) {
    if (ref === undefined) continue;
    if (!ref.name) errors.add(required(`${at}.${name}.name`));
    errors.checkRequired(`${at}.${name}.key`, ref.key, configMapKey);
  }
  const count = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef].filter(
    (s) => s !== undefined,
  ).length;
  if (count === 0)
    errors.add(
      invalid(
        at,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    );
  else if (v.value) errors.add(invalid(at, '', 'may not be specified when `value` is not empty'));
  else if (count > 1) errors.add(invalid(at, '', 'may not have more than one field specified at a time'));
  return errors.list;
}

export function validateFieldRef(fieldPath: string | undefined, allowed: readonly string[], at: string): FieldError[] {
  const errors = new Errors();
  if (!fieldPath) return [required(`${at}.fieldPath`)];
  const subscript = /^(metadata\.(?:labels|annotations))\['([^']+)'\]$/.exec(fieldPath);
  if (subscript === null) errors.oneOf(`${at}.fieldPath`, fieldPath, allowed);
  return errors.list;
}

function validateEnvFrom(list: readonly EnvFromSource[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  eachItem(list, path, (e, at) => {
    if (e.prefix) errors.check(`${at}.prefix`, e.prefix, envVarName);
    const { configMapRef, secretRef } = e;
    if (configMapRef !== undefined && !configMapRef.name) errors.add(required(`${at}.configMapRef.name`));
    if (secretRef !== undefined && !secretRef.name) errors.add(required(`${at}.secretRef.name`));
    if (configMapRef === undefined && secretRef === undefined)
      errors.add(invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`'));
    else if (configMapRef !== undefined && secretRef !== undefined)
      errors.add(invalid(path, '', 'may not have more than one field specified at a time'));
  });
  return errors.list;
}

function validateMounts(c: Container, volumes: Volumes, path: string): FieldError[] {
  const errors = new Errors();
  const paths = new Set<string>();
  eachItem(c.volumeMounts, path, (m, at) => {
    if (!m.name) errors.add(required(`${at}.name`));
    if (!volumes.has(m.name)) errors.add(notFound(`${at}.name`, m.name));
    if (!m.mountPath) errors.add(required(`${at}.mountPath`));
    if (paths.has(m.mountPath)) errors.add(invalid(`${at}.mountPath`, m.mountPath, 'must be unique'));
    paths.add(m.mountPath);
    if (m.subPath && m.subPathExpr)
      errors.add(invalid(`${at}.subPathExpr`, m.subPathExpr, 'subPathExpr and subPath are mutually exclusive'));
    if (m.subPath) errors.add(...localPath(m.subPath, `${at}.subPath`));
    if (m.subPathExpr) errors.add(...localPath(m.subPathExpr, `${at}.subPathExpr`));
    errors.oneOf(`${at}.mountPropagation`, m.mountPropagation, ['Bidirectional', 'HostToContainer', 'None']);
    if (m.mountPropagation === 'Bidirectional' && c.securityContext?.privileged !== true)
      errors.add(
        forbidden(
          `${path}.mountPropagation`,
          'Bidirectional mount propagation is available only to privileged containers',
        ),
      );
    if (m.recursiveReadOnly === undefined) return;
    errors.oneOf(`${at}.recursiveReadOnly`, m.recursiveReadOnly, ['Disabled', 'Enabled', 'IfPossible']);
    if (m.recursiveReadOnly !== 'Disabled' && !m.readOnly)
      errors.add(forbidden(`${at}.recursiveReadOnly`, 'may only be specified when readOnly is true'));
  });
  return errors.list;
}
