/** Descriptions of the networking and discovery groups. */
import type { TypeDescriptions } from './types.ts';

export const networking = (): TypeDescriptions => ({
  Ingress: { '': 'Rules by which HTTP traffic from outside gets to services. They act through an ingress controller.' },
  IngressSpec: {
    '': 'The rules.',
    ingressClassName: 'IngressClass, and by it the controller, that is to act.',
    defaultBackend: 'Where requests go that no rule fits.',
    tls: 'Host names that are served by TLS, and the Secrets with their certificates.',
    rules: 'Rules by host name.',
  },
  IngressTLS: {
    '': 'Host names served by TLS with one certificate.',
    hosts: 'The names; those of the certificate.',
    secretName: 'Secret with certificate and key.',
  },
  IngressRule: {
    '': 'A rule for one host name.',
    host: 'Host name, possibly with `*` as its first label; any if empty. No address and no port.',
  },
  IngressRuleValue: { '': 'What a rule does.', http: 'Paths and where they lead.' },
  HTTPIngressRuleValue: { '': 'Paths and where they lead.', paths: 'The paths.' },
  HTTPIngressPath: {
    '': 'A path and where it leads.',
    path: 'The path, beginning with a slash.',
    pathType: 'How it is compared: `Exact`, `Prefix` (by whole elements) or `ImplementationSpecific`.',
    backend: 'Where it leads.',
  },
  IngressBackend: {
    '': 'Where requests go. Exactly one is set.',
    service: 'A port of a service of the same namespace.',
    resource: 'Some other object of the same namespace.',
  },
  IngressServiceBackend: { '': 'A port of a service.', name: 'Name of the service.', port: 'The port.' },
  ServiceBackendPort: { '': 'A port, by name or by number.', name: 'Name of the port.', number: 'Number of the port.' },
  IngressStatus: { '': 'State of an ingress.', loadBalancer: 'Where its balancer is reached.' },
  IngressLoadBalancerStatus: { '': 'State of the balancer of an ingress.', ingress: 'Addresses it is reached by.' },
  IngressLoadBalancerIngress: {
    '': 'An address of a balancer.',
    ip: 'IP address.',
    hostname: 'DNS name.',
    ports: 'State of its ports.',
  },
  IngressPortStatus: {
    '': 'State of a port of a balancer.',
    port: 'Number of the port.',
    protocol: '`TCP`, `UDP` or `SCTP`.',
    error: 'What is wrong, in one CamelCase word; absent if nothing is.',
  },
  IngressClass: { '': 'A kind of ingress, and the controller that acts for it.' },
  IngressClassSpec: {
    '': 'Which controller acts.',
    controller: 'Name of the controller, such as `example.com/ingress`. It cannot be changed.',
    parameters: 'An object with further settings for the controller.',
  },
  IngressClassParametersReference: {
    '': 'Names an object with settings.',
    apiGroup: 'Group of the object; the core group if absent.',
    kind: 'Kind of the object.',
    name: 'Name of the object.',
    scope: '`Cluster` (default) or `Namespace`.',
    namespace: 'Namespace of the object, with scope `Namespace`.',
  },
  NetworkPolicy: {
    '': 'Which traffic pods may receive and send. Pods that no policy chooses may do everything; policies add up.',
  },
  NetworkPolicySpec: {
    '': 'For which pods, and what is allowed.',
    podSelector: 'Chooses the pods; an empty selector chooses all of the namespace.',
    ingress: 'What they may receive. Without a rule: nothing.',
    egress: 'What they may send. Without a rule: nothing, if `policyTypes` has `Egress`.',
    policyTypes:
      '`Ingress`, `Egress` or both: the directions it is about. Absent: `Ingress`, and `Egress` if there are rules for it.',
  },
  NetworkPolicyIngressRule: {
    '': 'Traffic that may be received: by these ports, from these peers.',
    ports: 'The ports; all if empty.',
    from: 'The peers; all if empty.',
  },
  NetworkPolicyEgressRule: {
    '': 'Traffic that may be sent: to these ports, of these peers.',
    ports: 'The ports; all if empty.',
    to: 'The peers; all if empty.',
  },
  NetworkPolicyPort: {
    '': 'A port or a range of ports.',
    protocol: '`TCP` (default), `UDP` or `SCTP`.',
    port: 'Number, or name of a container port; all if absent.',
    endPort: 'Last port of a range that begins with `port`, which is then a number.',
  },
  NetworkPolicyPeer: {
    '': 'A set of peers: pods by selectors, or addresses.',
    podSelector: 'Chooses pods, of this namespace or of those that `namespaceSelector` chooses.',
    namespaceSelector: 'Chooses namespaces by their labels; an empty selector chooses all.',
    ipBlock: 'A range of addresses. Not together with selectors.',
  },
  IPBlock: {
    '': 'A range of addresses.',
    cidr: 'The range, such as `192.168.1.0/24`.',
    except: 'Ranges within it that are left out.',
  },
  IPAddress: { '': 'An address of a service that is taken. The name is the address.' },
  IPAddressSpec: { '': 'Who has the address.', parentRef: 'The object it belongs to, mostly a Service.' },
  ParentReference: {
    '': 'Names the object an address belongs to.',
    group: 'Group of the object.',
    resource: 'Resource of the object.',
    namespace: 'Namespace of the object.',
    name: 'Name of the object.',
  },
  ServiceCIDR: { '': 'A range from which services get their addresses.' },
  ServiceCIDRSpec: { '': 'The range.', cidrs: 'One range of each family at most. It can hardly be changed.' },
  ServiceCIDRStatus: { '': 'State of the range.', conditions: 'The aspects of its state: Ready.' },
});

export const discovery = (): TypeDescriptions => ({
  EndpointSlice: {
    '': 'Some of the endpoints behind a service, all of one address family.',
    addressType: '`IPv4`, `IPv6` or, deprecated, `FQDN`. It cannot be changed.',
    endpoints: 'The endpoints, at most 1000.',
    ports: 'Ports of each of them.',
  },
  Endpoint: {
    '': 'One endpoint behind a service.',
    addresses: 'Its address. All addresses of one endpoint are equivalent; only the first is used.',
    conditions: 'Whether it can be used.',
    hostname: 'Host name of the endpoint, for DNS.',
    targetRef: 'The pod, or whatever it is.',
    deprecatedTopology: 'Deprecated: labels of the place, of the older version of the API.',
    nodeName: 'Node it is on.',
    zone: 'Zone it is in.',
    hints: 'Who should use it.',
  },
  EndpointConditions: {
    '': 'Whether an endpoint can be used. Absent values mean unknown.',
    ready: 'It takes new traffic; treat unknown as true. False while it ends.',
    serving: 'As `ready`, whether it is about to end or not.',
    terminating: 'It is about to end; treat unknown as false.',
  },
  EndpointHints: { '': 'Who should use an endpoint.', forZones: 'Zones that should.', forNodes: 'Nodes that should.' },
  ForZone: { '': 'A zone.', name: 'Its name.' },
  ForNode: { '': 'A node.', name: 'Its name.' },
  EndpointPort: {
    '': 'A port of endpoints.',
    name: 'Name of the port in the service; unique in the slice.',
    protocol: '`TCP` (default), `UDP` or `SCTP`.',
    port: 'Number of the port; absent: all.',
    appProtocol: 'Protocol of the application, as a hint for implementations.',
  },
});
