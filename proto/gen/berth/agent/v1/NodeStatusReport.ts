// Original file: proto/agent.proto


export interface NodeStatusReport {
  'status'?: (Buffer | Uint8Array | string);
}

export interface NodeStatusReport__Output {
  'status': (Buffer);
}
