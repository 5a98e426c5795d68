// Original file: proto/streams.proto


export interface Hello {
  'stream_id'?: (string);
}

export interface Hello__Output {
  'stream_id': (string);
}
