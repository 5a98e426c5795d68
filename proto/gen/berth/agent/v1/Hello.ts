// Original file: proto/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface Hello {
  'node_name'?: (string);
  'boot_id'?: (string);
  'agent_version'?: (string);
  'epoch'?: (number | string | Long);
  'node'?: (Buffer | Uint8Array | string);
}

export interface Hello__Output {
  'node_name': (string);
  'boot_id': (string);
  'agent_version': (string);
  'epoch': (string);
  'node': (Buffer);
}
