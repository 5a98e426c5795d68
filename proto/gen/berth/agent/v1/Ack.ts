// Original file: proto/agent.proto


export interface Ack {
  'count'?: (number);
}

export interface Ack__Output {
  'count': (number);
}
