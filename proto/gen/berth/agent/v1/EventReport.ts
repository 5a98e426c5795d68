// Original file: proto/agent.proto


export interface EventReport {
  'event'?: (Buffer | Uint8Array | string);
}

export interface EventReport__Output {
  'event': (Buffer);
}
