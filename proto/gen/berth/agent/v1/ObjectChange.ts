// Original file: proto/agent.proto


// Original file: proto/agent.proto

export const _berth_agent_v1_ObjectChange_Type = {
  UPSERT: 'UPSERT',
  REMOVE: 'REMOVE',
} as const;

export type _berth_agent_v1_ObjectChange_Type =
  | 'UPSERT'
  | 0
  | 'REMOVE'
  | 1

export type _berth_agent_v1_ObjectChange_Type__Output = typeof _berth_agent_v1_ObjectChange_Type[keyof typeof _berth_agent_v1_ObjectChange_Type]

export interface ObjectChange {
  'type'?: (_berth_agent_v1_ObjectChange_Type);
  'resource'?: (string);
  'namespace'?: (string);
  'name'?: (string);
  'uid'?: (string);
  'object'?: (Buffer | Uint8Array | string);
}

export interface ObjectChange__Output {
  'type': (_berth_agent_v1_ObjectChange_Type__Output);
  'resource': (string);
  'namespace': (string);
  'name': (string);
  'uid': (string);
  'object': (Buffer);
}
