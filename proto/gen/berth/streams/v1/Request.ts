// Original file: proto/streams.proto

import type { LogOptions as _berth_streams_v1_LogOptions, LogOptions__Output as _berth_streams_v1_LogOptions__Output } from '../../../berth/streams/v1/LogOptions.ts';

// Original file: proto/streams.proto

export const _berth_streams_v1_Request_Kind = {
  LOGS: 'LOGS',
  EXEC: 'EXEC',
  ATTACH: 'ATTACH',
  PORT_FORWARD: 'PORT_FORWARD',
  NODE_FORWARD: 'NODE_FORWARD',
  STATS: 'STATS',
  POD_FORWARD: 'POD_FORWARD',
} as const;

export type _berth_streams_v1_Request_Kind =
  | 'LOGS'
  | 0
  | 'EXEC'
  | 1
  | 'ATTACH'
  | 2
  | 'PORT_FORWARD'
  | 3
  | 'NODE_FORWARD'
  | 4
  | 'STATS'
  | 5
  | 'POD_FORWARD'
  | 6

export type _berth_streams_v1_Request_Kind__Output = typeof _berth_streams_v1_Request_Kind[keyof typeof _berth_streams_v1_Request_Kind]

export interface Request {
  'kind'?: (_berth_streams_v1_Request_Kind);
  'pod_uid'?: (string);
  'namespace'?: (string);
  'pod'?: (string);
  'container'?: (string);
  'command'?: (string)[];
  'stdin'?: (boolean);
  'stdout'?: (boolean);
  'stderr'?: (boolean);
  'tty'?: (boolean);
  'port'?: (number);
  'logs'?: (_berth_streams_v1_LogOptions | null);
  'path'?: (string);
}

export interface Request__Output {
  'kind': (_berth_streams_v1_Request_Kind__Output);
  'pod_uid': (string);
  'namespace': (string);
  'pod': (string);
  'container': (string);
  'command': (string)[];
  'stdin': (boolean);
  'stdout': (boolean);
  'stderr': (boolean);
  'tty': (boolean);
  'port': (number);
  'logs': (_berth_streams_v1_LogOptions__Output | null);
  'path': (string);
}
