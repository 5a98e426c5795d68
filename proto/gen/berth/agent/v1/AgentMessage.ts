// Original file: proto/agent.proto

import type { Hello as _berth_agent_v1_Hello, Hello__Output as _berth_agent_v1_Hello__Output } from '../../../berth/agent/v1/Hello.ts';
import type { Heartbeat as _berth_agent_v1_Heartbeat, Heartbeat__Output as _berth_agent_v1_Heartbeat__Output } from '../../../berth/agent/v1/Heartbeat.ts';
import type { PodStatusReport as _berth_agent_v1_PodStatusReport, PodStatusReport__Output as _berth_agent_v1_PodStatusReport__Output } from '../../../berth/agent/v1/PodStatusReport.ts';
import type { NodeStatusReport as _berth_agent_v1_NodeStatusReport, NodeStatusReport__Output as _berth_agent_v1_NodeStatusReport__Output } from '../../../berth/agent/v1/NodeStatusReport.ts';
import type { EventReport as _berth_agent_v1_EventReport, EventReport__Output as _berth_agent_v1_EventReport__Output } from '../../../berth/agent/v1/EventReport.ts';
import type { PodRemoved as _berth_agent_v1_PodRemoved, PodRemoved__Output as _berth_agent_v1_PodRemoved__Output } from '../../../berth/agent/v1/PodRemoved.ts';
import type { Ack as _berth_agent_v1_Ack, Ack__Output as _berth_agent_v1_Ack__Output } from '../../../berth/agent/v1/Ack.ts';
import type { VolumeErased as _berth_agent_v1_VolumeErased, VolumeErased__Output as _berth_agent_v1_VolumeErased__Output } from '../../../berth/agent/v1/VolumeErased.ts';

export interface AgentMessage {
  'hello'?: (_berth_agent_v1_Hello | null);
  'heartbeat'?: (_berth_agent_v1_Heartbeat | null);
  'pod_status'?: (_berth_agent_v1_PodStatusReport | null);
  'node_status'?: (_berth_agent_v1_NodeStatusReport | null);
  'event'?: (_berth_agent_v1_EventReport | null);
  'pod_removed'?: (_berth_agent_v1_PodRemoved | null);
  'ack'?: (_berth_agent_v1_Ack | null);
  'volume_erased'?: (_berth_agent_v1_VolumeErased | null);
  'body'?: "hello"|"heartbeat"|"pod_status"|"node_status"|"event"|"pod_removed"|"ack"|"volume_erased";
}

export interface AgentMessage__Output {
  'hello'?: (_berth_agent_v1_Hello__Output | null);
  'heartbeat'?: (_berth_agent_v1_Heartbeat__Output | null);
  'pod_status'?: (_berth_agent_v1_PodStatusReport__Output | null);
  'node_status'?: (_berth_agent_v1_NodeStatusReport__Output | null);
  'event'?: (_berth_agent_v1_EventReport__Output | null);
  'pod_removed'?: (_berth_agent_v1_PodRemoved__Output | null);
  'ack'?: (_berth_agent_v1_Ack__Output | null);
  'volume_erased'?: (_berth_agent_v1_VolumeErased__Output | null);
  'body'?: "hello"|"heartbeat"|"pod_status"|"node_status"|"event"|"pod_removed"|"ack"|"volume_erased";
}
