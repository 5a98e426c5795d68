// Original file: proto/streams.proto


export interface RelayRequest {
  'node_name'?: (string);
}

export interface RelayRequest__Output {
  'node_name': (string);
}
