// Original file: proto/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface ReportAck {
  'sequence'?: (number | string | Long);
  'error_kind'?: (string);
}

export interface ReportAck__Output {
  'sequence': (string);
  'error_kind': (string);
}
