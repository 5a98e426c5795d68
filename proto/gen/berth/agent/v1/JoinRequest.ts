// Original file: proto/agent.proto


export interface JoinRequest {
  'token'?: (string);
  'node_name'?: (string);
  'csr'?: (Buffer | Uint8Array | string);
}

export interface JoinRequest__Output {
  'token': (string);
  'node_name': (string);
  'csr': (Buffer);
}
