// Original file: proto/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface VolumeErased {
  'sequence'?: (number | string | Long);
  'name'?: (string);
  'uid'?: (string);
}

export interface VolumeErased__Output {
  'sequence': (string);
  'name': (string);
  'uid': (string);
}
