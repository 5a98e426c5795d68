/** Per kind, what the general rule of ../strategy.ts does not say. Source: pkg/registry/{core,apps,batch,certificates}/*\/strategy.go. */
import type { CustomResourceDefinition } from '../gen/types/apiextensions-v1.ts';
import type { Deployment } from '../gen/types/apps-v1.ts';
import type { Job } from '../gen/types/batch-v1.ts';
import type { CertificateSigningRequest } from '../gen/types/certificates-v1.ts';
import type {
  Container,
  Namespace,
  Node,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from '../gen/types/core-v1.ts';
import type { EndpointSlice } from '../gen/types/discovery-v1.ts';
import type { KubeObject } from '../object.ts';
import type { TypeName } from '../type-table.ts';
import { LEGACY_NAME_LABEL, LEGACY_UID_LABEL, NAME_LABEL, UID_LABEL } from './job-validation.ts';
import { prepareDataSources } from './persistent-volume-strategy.ts';
import { qosClassOf } from './pod-qos.ts';
import { carryAllocated, dropTypeDependent } from './service-strategy.ts';

export interface Strategy {
  readonly keepsStatusOnCreate?: boolean;
  readonly create?: (object: KubeObject) => void;
  /** Main endpoint; status has been carried over already. */
  readonly update?: (next: KubeObject, previous: KubeObject) => void;
  readonly subresources?: Readonly<Record<string, (next: KubeObject, previous: KubeObject) => void>>;
  /** What a new generation is a change of; absent: spec, or all but metadata. */
  readonly generationOf?: (object: KubeObject) => unknown;
}

type Make = <T extends KubeObject>(s: {
  keepsStatusOnCreate?: boolean;
  create?: (object: T) => void;
  update?: (next: T, previous: T) => void;
  subresources?: Record<string, (next: T, previous: T) => void>;
  generationOf?: (object: T) => unknown;
}) => Strategy;

/** The table's key is the promise that objects have type T. */
const strategy: Make = (s) => s as unknown as Strategy;

export const STRATEGIES: Readonly<Record<TypeName, Strategy>> = {
  'apiextensions/v1.CustomResourceDefinition': strategy<CustomResourceDefinition>({
    create: (crd) => noteStorageVersion(crd),
    update: (next) => noteStorageVersion(next),
  }),
  'core/v1.Pod': strategy<Pod>({
    create: createPod,
    subresources: { status: updatePodStatus, ephemeralcontainers: updateEphemeralContainers, resize: resizePod },
  }),
  'core/v1.Namespace': strategy<Namespace>({
    create(ns) {
      const finalizers = ns.spec?.finalizers ?? [];
      ns.spec = {
        ...ns.spec,
        finalizers: finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'],
      };
      ns.status = { phase: 'Active' };
    },
    update(next, previous) {
      next.spec = structuredClone(previous.spec);
    },
    subresources: {
      finalize(next, previous) {
        next.status = structuredClone(previous.status);
      },
    },
  }),
  // A node registers itself with its status.
  'core/v1.Node': strategy<Node>({ keepsStatusOnCreate: true }),
  'core/v1.Service': strategy<Service>({
    create: dropTypeDependent,
    update(next, previous) {
      carryAllocated(next, previous);
      dropTypeDependent(next, previous);
    },
  }),
  'core/v1.Secret': strategy<Secret>({
    update(next, previous) {
      next.type ||= previous.type;
    },
  }),
  'core/v1.ServiceAccount': strategy<ServiceAccount>({ create: cleanSecretReferences, update: cleanSecretReferences }),
  'core/v1.PersistentVolume': strategy<KubeObject & { status: object }>({
    create(pv) {
      pv.status = { phase: 'Pending' };
    },
  }),
  'core/v1.PersistentVolumeClaim': strategy<PersistentVolumeClaim>({
    create(claim) {
      claim.status = { phase: 'Pending' };
      prepareDataSources(claim.spec);
    },
    update(next, previous) {
      prepareDataSources(next.spec, previous.spec);
    },
  }),
  'apps/v1.Deployment': strategy<Deployment>({
    generationOf: (d) => ({ spec: d.spec, annotations: d.metadata.annotations }),
    subresources: {
      status(next, previous) {
        next.spec = structuredClone(previous.spec);
        if (previous.metadata.labels === undefined) delete next.metadata.labels;
        else next.metadata.labels = { ...previous.metadata.labels };
      },
    },
  }),
  'batch/v1.Job': strategy<Job>({ create: selectJobPods }),
  'certificates/v1.CertificateSigningRequest': strategy<CertificateSigningRequest>({
    update(next, previous) {
      next.spec = structuredClone(previous.spec);
    },
    subresources: {
      status(next, previous) {
        next.spec = structuredClone(previous.spec);
        keepConditions(next, previous, ['Approved', 'Denied']);
      },
      approval(next, previous) {
        next.spec = structuredClone(previous.spec);
        const { conditions } = next.status ?? {};
        next.status = { ...previous.status };
        if (conditions === undefined) delete next.status.conditions;
        else next.status.conditions = conditions;
        keepConditions(next, previous, ['Failed']);
      },
    },
  }),
  'discovery/v1.EndpointSlice': strategy<EndpointSlice>({
    generationOf: ({ metadata, apiVersion: _a, kind: _k, ...rest }) => ({
      ...rest,
      labels: metadata.labels,
      annotations: metadata.annotations,
    }),
  }),
};

function createPod(pod: Pod): void {
  pod.status = { phase: 'Pending', qosClass: qosClassOf(pod.spec) };
  if ((pod.spec.schedulingGates?.length ?? 0) === 0) return;
  pod.status.conditions = [
    {
      type: 'PodScheduled',
      status: 'False',
      reason: 'SchedulingGated',
      message: 'Scheduling is blocked due to non-empty scheduling gates',
    },
  ];
}

/** The node reports status; spec, owners and the QoS class are not its to change. */
function updatePodStatus(next: Pod, previous: Pod): void {
  next.spec = structuredClone(previous.spec);
  if (previous.metadata.ownerReferences === undefined) delete next.metadata.ownerReferences;
  else next.metadata.ownerReferences = structuredClone(previous.metadata.ownerReferences);
  const qosClass = previous.status?.qosClass;
  if (qosClass !== undefined && next.status !== undefined) next.status.qosClass ||= qosClass;
}

function updateEphemeralContainers(next: Pod, previous: Pod): void {
  const added = next.spec.ephemeralContainers;
  next.spec = structuredClone(previous.spec);
  if (added !== undefined) next.spec.ephemeralContainers = added;
  next.status = structuredClone(previous.status);
}

/** Only resources and resizePolicy of containers that are still there. */
function resizePod(next: Pod, previous: Pod): void {
  const wanted = next.spec;
  next.spec = structuredClone(previous.spec);
  resizeContainers(next.spec.containers ?? [], wanted.containers ?? []);
  resizeContainers(next.spec.initContainers ?? [], wanted.initContainers ?? []);
  next.status = structuredClone(previous.status);
}

function resizeContainers(kept: Container[], wanted: readonly Container[]): void {
  for (const c of kept) {
    const w = wanted.find((other) => other.name === c.name);
    if (w?.resources !== undefined) c.resources = w.resources;
    if (w?.resizePolicy !== undefined) c.resizePolicy = w.resizePolicy;
  }
}

/** Conditions of these types stay as they were; one more or one less is left for validation to refuse. */
function keepConditions(
  next: CertificateSigningRequest,
  previous: CertificateSigningRequest,
  types: readonly string[],
): void {
  const conditions = next.status?.conditions;
  if (conditions === undefined) return;
  for (const type of types) {
    const kept = (previous.status?.conditions ?? []).filter((c) => c.type === type);
    if (conditions.filter((c) => c.type === type).length !== kept.length) continue;
    for (const [i, c] of conditions.entries()) {
      const was = c.type === type ? kept.shift() : undefined;
      if (was !== undefined) conditions[i] = structuredClone(was);
    }
  }
}

/** Of a secret reference only the name counts. */
function cleanSecretReferences(account: ServiceAccount): void {
  if (account.secrets === undefined) return;
  account.secrets = account.secrets.map(({ name }) => (name === undefined ? {} : { name }));
}

/** A job without manualSelector selects its pods by its uid, which the server has set before; what is given already stays. */
function selectJobPods(job: Job): void {
  const { uid } = job.metadata;
  if (job.spec.manualSelector === true || !uid) return;
  const template = job.spec.template;
  const { name } = job.metadata;
  template.metadata = {
    ...template.metadata,
    labels: {
      [NAME_LABEL]: name,
      [LEGACY_NAME_LABEL]: name,
      [UID_LABEL]: uid,
      [LEGACY_UID_LABEL]: uid,
      ...template.metadata?.labels,
    },
  } as typeof template.metadata;
  job.spec.selector ??= {};
  job.spec.selector.matchLabels = { [UID_LABEL]: uid, ...job.spec.selector.matchLabels };
}

/** Every version that objects were ever stored in is on record until somebody has rewritten them all and takes it off. */
function noteStorageVersion(crd: CustomResourceDefinition): void {
  const { storedVersions = [], ...status } = crd.status ?? { conditions: [], acceptedNames: { plural: '', kind: '' } };
  const storage = crd.spec.versions?.find((v) => v.storage)?.name;
  const isNoted = storage === undefined || storedVersions?.includes(storage);
  crd.status = { ...status, storedVersions: isNoted ? storedVersions : [...(storedVersions ?? []), storage] };
}
