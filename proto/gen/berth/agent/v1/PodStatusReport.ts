// Original file: proto/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface PodStatusReport {
  'sequence'?: (number | string | Long);
  'namespace'?: (string);
  'name'?: (string);
  'uid'?: (string);
  'status'?: (Buffer | Uint8Array | string);
}

export interface PodStatusReport__Output {
  'sequence': (string);
  'namespace': (string);
  'name': (string);
  'uid': (string);
  'status': (Buffer);
}
