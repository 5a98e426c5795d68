// Original file: proto/agent.proto


export interface IssueTokenRequest {
  'namespace'?: (string);
  'service_account'?: (string);
  'pod_name'?: (string);
  'pod_uid'?: (string);
  'audience'?: (string);
  'expiration_seconds'?: (number);
}

export interface IssueTokenRequest__Output {
  'namespace': (string);
  'service_account': (string);
  'pod_name': (string);
  'pod_uid': (string);
  'audience': (string);
  'expiration_seconds': (number);
}
