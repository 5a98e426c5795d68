/** The checks of the restricted level. Source: pod-security-admission/policy/check_*.go. */
import { procMount } from './baseline.ts';
import {
  type AnyContainer,
  type Check,
  type CheckPod,
  containersOf,
  containersText,
  exceptInUserNamespace,
  exceptWindows,
  joinQuote,
  namesWhere,
  plural,
  settersText,
  sorted,
} from './check.ts';
import { badSeccompType, explicitSeccomp } from './profiles.ts';

/** Of the volume sources, those that reach nothing of the node. */
const ALLOWED_VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

/** In the order in which the first that is set names the type. */
const RESTRICTED_VOLUMES = [
  'hostPath',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'gitRepo',
  'nfs',
  'iscsi',
  'glusterfs',
  'rbd',
  'flexVolume',
  'cinder',
  'cephfs',
  'flocker',
  'fc',
  'azureFile',
  'vsphereVolume',
  'quobyte',
  'azureDisk',
  'photonPersistentDisk',
  'portworxVolume',
  'scaleIO',
  'storageos',
];

const allowPrivilegeEscalation: CheckPod = (_, spec) => {
  const bad = namesWhere(spec, (c) => c.securityContext?.allowPrivilegeEscalation !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${containersText(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

const capabilities: CheckPod = (_, spec) => {
  const added = (c: AnyContainer): string[] =>
    (c.securityContext?.capabilities?.add ?? []).filter((x) => x !== 'NET_BIND_SERVICE');
  const keeping = namesWhere(spec, (c) => c.securityContext?.capabilities?.drop?.includes('ALL') !== true);
  const adding = namesWhere(spec, (c) => added(c).length > 0);
  const forbidden = joinQuote(sorted(containersOf(spec).flatMap(added)));
  const details = [
    ...(keeping.length === 0 ? [] : [`${containersText(keeping)} must set securityContext.capabilities.drop=["ALL"]`]),
    ...(adding.length === 0
      ? []
      : [`${containersText(adding)} must not include ${forbidden} in securityContext.capabilities.add`]),
  ];
  return details.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: details.join('; ') };
};

const restrictedVolumes: CheckPod = (_, spec) => {
  const isSet = ([name, value]: [string, unknown]): boolean => value !== undefined && value !== null && name !== 'name';
  const sources = (spec.volumes ?? []).map((v) => ({
    name: v.name,
    types: Object.entries(v)
      .filter(isSet)
      .map(([type]) => type),
  }));
  const bad = sources.filter((s) => !s.types.some((t) => ALLOWED_VOLUMES.has(t)));
  if (bad.length === 0) return undefined;
  const types = sorted(bad.map((s) => RESTRICTED_VOLUMES.find((t) => s.types.includes(t)) ?? 'unknown'));
  const names = joinQuote(bad.map((s) => s.name));
  const uses = bad.length === 1 ? 'uses' : 'use';
  const typesText = `${plural('restricted volume type', types.length)} ${joinQuote(types)}`;
  return {
    reason: 'restricted volume types',
    detail: `${plural('volume', bad.length)} ${names} ${uses} ${typesText}`,
  };
};

const runAsNonRoot: CheckPod = (_, spec) => {
  const reason = 'runAsNonRoot != true';
  const ofPod = spec.securityContext?.runAsNonRoot;
  const bad = namesWhere(spec, (c) => c.securityContext?.runAsNonRoot === false);
  const setters = settersText(ofPod === false, bad);
  if (setters !== undefined) return { reason, detail: `${setters} must not set securityContext.runAsNonRoot=false` };
  const unset = namesWhere(spec, (c) => c.securityContext?.runAsNonRoot === undefined);
  if (ofPod === true || unset.length === 0) return undefined;
  return { reason, detail: `pod or ${containersText(unset)} must set securityContext.runAsNonRoot=true` };
};

const runAsUser: CheckPod = (_, spec) => {
  const bad = namesWhere(spec, (c) => c.securityContext?.runAsUser === 0);
  const setters = settersText(spec.securityContext?.runAsUser === 0, bad);
  return setters === undefined ? undefined : { reason: 'runAsUser=0', detail: `${setters} must not set runAsUser=0` };
};

const seccompProfile: CheckPod = (_, spec) => {
  const explicit = explicitSeccomp(spec);
  if (explicit !== undefined) return explicit;
  const ofPod = spec.securityContext;
  const isPodSet = ofPod?.seccompProfile !== undefined && badSeccompType(ofPod) === undefined;
  const unset = namesWhere(spec, (c) => c.securityContext?.seccompProfile === undefined);
  if (isPodSet || unset.length === 0) return undefined;
  const wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"';
  return { reason: 'seccompProfile', detail: `pod or ${containersText(unset)} must set ${wanted}` };
};

function restricted(
  id: string,
  versions: readonly (readonly [since: number, check: CheckPod])[],
  overrides: readonly string[] = [],
): Check {
  return { id, level: 'restricted', versions: versions.map(([since, check]) => ({ since, check })), overrides };
}

export const RESTRICTED_CHECKS: readonly Check[] = [
  restricted('allowPrivilegeEscalation', [
    [8, allowPrivilegeEscalation],
    [25, exceptWindows(allowPrivilegeEscalation)],
  ]),
  restricted(
    'capabilities_restricted',
    [
      [22, capabilities],
      [25, exceptWindows(capabilities)],
    ],
    ['capabilities_baseline'],
  ),
  restricted('procMount_restricted', [[35, procMount]], ['procMount']),
  restricted('restrictedVolumes', [[0, restrictedVolumes]], ['hostPathVolumes']),
  restricted('runAsNonRoot', [
    [0, runAsNonRoot],
    [35, exceptInUserNamespace(runAsNonRoot)],
  ]),
  restricted('runAsUser', [
    [23, runAsUser],
    [35, exceptInUserNamespace(runAsUser)],
  ]),
  restricted(
    'seccompProfile_restricted',
    [
      [19, seccompProfile],
      [25, exceptWindows(seccompProfile)],
    ],
    ['seccompProfile_baseline'],
  ),
];
