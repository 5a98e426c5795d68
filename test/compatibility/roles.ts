/**
 * What Berth does with each kind beyond keeping it, and the file that does it. What is not here is stored only. The test checks
 * both ways: each file names its kind, and no code of services or agent names a kind that is not here.
 */
import type { Kinds } from '#lib/api';

export type KindName = keyof typeof Kinds;

export interface Role {
  /** Read only: some code looks at it, but nothing is done because of it, and nothing is reported of it. */
  readonly state: 'acted on' | 'read only';
  readonly what: string;
  /** From the root of the repository. */
  readonly by: string;
}

const CONTROLLERS = 'services/controllers';
const ADMISSION = 'services/apiserver/admission';
const RBAC = 'services/apiserver/authz/rbac';

const acted = (by: string, what: string): Role => ({ state: 'acted on', what, by });
const read = (by: string, what: string): Role => ({ state: 'read only', what, by });

export const ROLES: Readonly<Partial<Record<KindName, Role>>> = {
  configmaps: acted('services/gateway/desired.ts', 'mounted into pods, and given as their environment'),
  endpoints: acted(`${CONTROLLERS}/endpoints/reconcile.ts`, 'made of services and their pods'),
  events: acted('services/events/main.ts', 'copied to NATS, gone after their time'),
  limitranges: acted(`${ADMISSION}/limit-ranger.ts`, 'defaults and limits of pods and claims'),
  namespaces: acted(`${CONTROLLERS}/namespace/reconcile.ts`, 'emptied when deleted; pod security by their labels'),
  nodes: acted(`${CONTROLLERS}/node-lifecycle/reconcile.ts`, 'scheduled to; tainted and emptied when silent'),
  persistentvolumeclaims: acted(
    `${CONTROLLERS}/volumes/binder.ts`,
    'bound to volumes, grown, mounted by pods, kept while pods use them',
  ),
  persistentvolumes: acted(
    `${CONTROLLERS}/volumes/binder.ts`,
    'bound to claims; local, hostPath and NFS ones are mounted; reclaimed',
  ),
  pods: acted('services/scheduler/main.ts', 'scheduled, run by the nodes'),
  replicationcontrollers: read(`${CONTROLLERS}/disruption/reconcile.ts`, 'disruption budgets count their replicas'),
  resourcequotas: acted(`${CONTROLLERS}/quota/reconcile.ts`, 'counted, and enforced when objects are made'),
  secrets: acted('services/gateway/desired.ts', 'mounted into pods; tokens of service accounts; sealed in etcd'),
  serviceaccounts: acted(`${CONTROLLERS}/serviceaccount/reconcile.ts`, 'one in every namespace; tokens for pods'),
  services: acted('services/gateway/desired.ts', 'addresses, DNS names and packet rules on every node'),
  apiservices: acted('services/apiserver/http/aggregate/aggregator.ts', 'requests of their group are passed on'),
  deployments: acted(`${CONTROLLERS}/deployment/reconcile.ts`, 'rolled out by replica sets'),
  replicasets: acted(`${CONTROLLERS}/replicaset/reconcile.ts`, 'keep their number of pods'),
  statefulsets: read(`${CONTROLLERS}/disruption/reconcile.ts`, 'disruption budgets count their replicas'),
  eventsV1Events: acted('services/events/main.ts', 'the same objects as the events of v1'),
  certificatesigningrequests: acted(`${CONTROLLERS}/certificates/reconcile.ts`, 'signed when approved'),
  ingressclasses: acted(`${ADMISSION}/ingress.ts`, 'the default one is given to ingresses that name none'),
  ipaddresses: acted('services/apiserver/allocator/addresses.ts', 'made for the addresses of services'),
  poddisruptionbudgets: acted(`${CONTROLLERS}/disruption/reconcile.ts`, 'counted; evictions ask them'),
  clusterrolebindings: acted(`${RBAC}/binding-index.ts`, 'who may do what'),
  clusterroles: acted(`${RBAC}/rbac.ts`, 'who may do what'),
  rolebindings: acted(`${RBAC}/binding-index.ts`, 'who may do what'),
  roles: acted(`${RBAC}/rbac.ts`, 'who may do what'),
  csidrivers: acted(
    `${CONTROLLERS}/attach/observe.ts`,
    'say how nodes mount their volumes, and whether these are attached',
  ),
  csinodes: acted('services/gateway/storage.ts', 'made of the drivers that nodes have'),
  storageclasses: acted(`${ADMISSION}/storage.ts`, 'the default one is given to claims; berth.dev/local makes volumes'),
  volumeattachments: acted(
    `${CONTROLLERS}/attach/reconcile.ts`,
    'made for what pods use of drivers, waited for by nodes',
  ),
  volumeattributesclasses: acted(`${CONTROLLERS}/storage-protection/reconcile.ts`, 'kept while claims name them'),
  mutatingadmissionpolicies: acted(`${ADMISSION}/policy/mutating.ts`, 'change what is written'),
  mutatingadmissionpolicybindings: acted(`${ADMISSION}/policy/mutating.ts`, 'say where policies count'),
  mutatingwebhookconfigurations: acted(`${ADMISSION}/webhook/mutating.ts`, 'called before writes'),
  validatingadmissionpolicies: acted(`${ADMISSION}/policy/validating.ts`, 'judge what is written'),
  validatingadmissionpolicybindings: acted(`${ADMISSION}/policy/validating.ts`, 'say where policies count'),
  validatingwebhookconfigurations: acted(`${ADMISSION}/webhook/validating.ts`, 'called before writes'),
  customresourcedefinitions: acted('services/apiserver/custom/definitions.ts', 'their kinds are served'),
  priorityclasses: acted(`${ADMISSION}/pods.ts`, 'give pods their priority, by which the scheduler orders them'),
  leases: acted(`${CONTROLLERS}/node-lifecycle/reconcile.ts`, 'heartbeats of nodes'),
  runtimeclasses: acted(`${ADMISSION}/runtime-class.ts`, 'give pods their runtime, overhead and placement'),
  endpointslices: acted(`${CONTROLLERS}/endpointslice/reconcile.ts`, 'made of services and their pods'),
  resourceslices: read(`${ADMISSION}/node-restriction.ts`, 'a node may write its own'),
  flowschemas: acted('services/apiserver/http/fairness/follow.ts', 'which requests wait in which queue'),
  prioritylevelconfigurations: acted('services/apiserver/http/fairness/follow.ts', 'how many requests run at once'),
};
