// Original file: proto/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface PodRemoved {
  'sequence'?: (number | string | Long);
  'namespace'?: (string);
  'name'?: (string);
  'uid'?: (string);
}

export interface PodRemoved__Output {
  'sequence': (string);
  'namespace': (string);
  'name': (string);
  'uid': (string);
}
