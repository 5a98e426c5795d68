// Original file: proto/agent.proto


export interface OpenStream {
  'stream_id'?: (string);
}

export interface OpenStream__Output {
  'stream_id': (string);
}
