// Original file: proto/agent.proto


export interface ClaimResizedRequest {
  'namespace'?: (string);
  'name'?: (string);
  'uid'?: (string);
  'storage'?: (string);
}

export interface ClaimResizedRequest__Output {
  'namespace': (string);
  'name': (string);
  'uid': (string);
  'storage': (string);
}
