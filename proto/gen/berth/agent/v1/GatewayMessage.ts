// Original file: proto/agent.proto

import type { Welcome as _berth_agent_v1_Welcome, Welcome__Output as _berth_agent_v1_Welcome__Output } from '../../../berth/agent/v1/Welcome.ts';
import type { ObjectChange as _berth_agent_v1_ObjectChange, ObjectChange__Output as _berth_agent_v1_ObjectChange__Output } from '../../../berth/agent/v1/ObjectChange.ts';
import type { Synced as _berth_agent_v1_Synced, Synced__Output as _berth_agent_v1_Synced__Output } from '../../../berth/agent/v1/Synced.ts';
import type { ReportAck as _berth_agent_v1_ReportAck, ReportAck__Output as _berth_agent_v1_ReportAck__Output } from '../../../berth/agent/v1/ReportAck.ts';
import type { OpenStream as _berth_agent_v1_OpenStream, OpenStream__Output as _berth_agent_v1_OpenStream__Output } from '../../../berth/agent/v1/OpenStream.ts';
import type { HeartbeatAck as _berth_agent_v1_HeartbeatAck, HeartbeatAck__Output as _berth_agent_v1_HeartbeatAck__Output } from '../../../berth/agent/v1/HeartbeatAck.ts';

export interface GatewayMessage {
  'welcome'?: (_berth_agent_v1_Welcome | null);
  'change'?: (_berth_agent_v1_ObjectChange | null);
  'synced'?: (_berth_agent_v1_Synced | null);
  'report_ack'?: (_berth_agent_v1_ReportAck | null);
  'open_stream'?: (_berth_agent_v1_OpenStream | null);
  'heartbeat_ack'?: (_berth_agent_v1_HeartbeatAck | null);
  'body'?: "welcome"|"change"|"synced"|"report_ack"|"open_stream"|"heartbeat_ack";
}

export interface GatewayMessage__Output {
  'welcome'?: (_berth_agent_v1_Welcome__Output | null);
  'change'?: (_berth_agent_v1_ObjectChange__Output | null);
  'synced'?: (_berth_agent_v1_Synced__Output | null);
  'report_ack'?: (_berth_agent_v1_ReportAck__Output | null);
  'open_stream'?: (_berth_agent_v1_OpenStream__Output | null);
  'heartbeat_ack'?: (_berth_agent_v1_HeartbeatAck__Output | null);
  'body'?: "welcome"|"change"|"synced"|"report_ack"|"open_stream"|"heartbeat_ack";
}
