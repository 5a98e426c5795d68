// Original file: proto/agent.proto


export interface Welcome {
  'heartbeat_interval_ms'?: (number);
  'cluster_domain'?: (string);
  'cluster_dns_ip'?: (string);
  'cluster_cidr'?: (string);
  'service_cidr'?: (string);
  'pod_cidr'?: (string);
}

export interface Welcome__Output {
  'heartbeat_interval_ms': (number);
  'cluster_domain': (string);
  'cluster_dns_ip': (string);
  'cluster_cidr': (string);
  'service_cidr': (string);
  'pod_cidr': (string);
}
