// Original file: proto/streams.proto


export interface Resize {
  'width'?: (number);
  'height'?: (number);
}

export interface Resize__Output {
  'width': (number);
  'height': (number);
}
