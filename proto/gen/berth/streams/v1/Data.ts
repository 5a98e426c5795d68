// Original file: proto/streams.proto


export interface Data {
  'channel'?: (number);
  'bytes'?: (Buffer | Uint8Array | string);
  'last'?: (boolean);
}

export interface Data__Output {
  'channel': (number);
  'bytes': (Buffer);
  'last': (boolean);
}
