// Original file: proto/agent.proto


export interface JoinReply {
  'certificate'?: (Buffer | Uint8Array | string);
  'ca_certificate'?: (Buffer | Uint8Array | string);
}

export interface JoinReply__Output {
  'certificate': (Buffer);
  'ca_certificate': (Buffer);
}
