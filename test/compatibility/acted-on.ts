/**
 * The kinds that something in Berth acts on, beyond keeping them, and where. All others are correct as data and no more. The
 * compatibility test checks that each file names its kind.
 */
const CONTROLLERS = 'services/controllers';
const APISERVER = 'services/apiserver';

export const ACTED_ON: Readonly<Record<string, string>> = {
  apiservices: `${APISERVER}/http/aggregate/aggregator.ts`,
  certificatesigningrequests: `${CONTROLLERS}/certificates/reconcile.ts`,
  clusterrolebindings: `${APISERVER}/authz/rbac/binding-index.ts`,
  clusterroles: `${CONTROLLERS}/clusterrole-aggregation/reconcile.ts`,
  csidrivers: `${APISERVER}/admission/node-token-audiences.ts`,
  customresourcedefinitions: `${CONTROLLERS}/custom-kinds.ts`,
  deployments: `${CONTROLLERS}/deployment/reconcile.ts`,
  endpoints: `${CONTROLLERS}/endpoints/reconcile.ts`,
  endpointslices: `${CONTROLLERS}/endpointslice/reconcile.ts`,
  events: 'services/events/main.ts',
  flowschemas: `${APISERVER}/http/fairness/follow.ts`,
  ingressclasses: `${APISERVER}/admission/ingress.ts`,
  ipaddresses: `${APISERVER}/allocator/addresses.ts`,
  leases: `${CONTROLLERS}/node-lifecycle/reconcile.ts`,
  limitranges: `${APISERVER}/admission/limit-ranger.ts`,
  namespaces: `${CONTROLLERS}/namespace/reconcile.ts`,
  nodes: `${CONTROLLERS}/pod-gc/reconcile.ts`,
  persistentvolumeclaims: `${CONTROLLERS}/storage-protection/reconcile.ts`,
  persistentvolumes: `${CONTROLLERS}/storage-protection/reconcile.ts`,
  poddisruptionbudgets: `${CONTROLLERS}/disruption/reconcile.ts`,
  pods: `${CONTROLLERS}/pod-gc/reconcile.ts`,
  priorityclasses: `${APISERVER}/admission/pods.ts`,
  prioritylevelconfigurations: `${APISERVER}/http/fairness/follow.ts`,
  replicasets: `${CONTROLLERS}/replicaset/reconcile.ts`,
  resourcequotas: `${CONTROLLERS}/quota/reconcile.ts`,
  rolebindings: `${APISERVER}/authz/rbac/binding-index.ts`,
  roles: `${APISERVER}/authz/rbac/rbac.ts`,
  runtimeclasses: `${APISERVER}/admission/runtime-class.ts`,
  secrets: `${CONTROLLERS}/service-account-token/reconcile.ts`,
  serviceaccounts: `${CONTROLLERS}/service-account-token/reconcile.ts`,
  services: `${CONTROLLERS}/load-balancer/reconcile.ts`,
  storageclasses: `${APISERVER}/admission/storage.ts`,
};
