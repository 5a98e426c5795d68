// Original file: proto/agent.proto


export interface MirrorPodRequest {
  'namespace'?: (string);
  'name'?: (string);
  'uid'?: (string);
  'pod'?: (Buffer | Uint8Array | string);
}

export interface MirrorPodRequest__Output {
  'namespace': (string);
  'name': (string);
  'uid': (string);
  'pod': (Buffer);
}
