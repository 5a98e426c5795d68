// Original file: proto/streams.proto

import type { Long } from '@grpc/proto-loader';

export interface LogOptions {
  'follow'?: (boolean);
  'previous'?: (boolean);
  'timestamps'?: (boolean);
  'since_seconds'?: (number | string | Long);
  'since_time'?: (string);
  'tail_lines'?: (number | string | Long);
  'limit_bytes'?: (number | string | Long);
  'stream'?: (string);
}

export interface LogOptions__Output {
  'follow': (boolean);
  'previous': (boolean);
  'timestamps': (boolean);
  'since_seconds': (string);
  'since_time': (string);
  'tail_lines': (string);
  'limit_bytes': (string);
  'stream': (string);
}
