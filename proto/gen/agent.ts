import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { Ack as _berth_agent_v1_Ack, Ack__Output as _berth_agent_v1_Ack__Output } from './berth/agent/v1/Ack.ts';
import type { AgentMessage as _berth_agent_v1_AgentMessage, AgentMessage__Output as _berth_agent_v1_AgentMessage__Output } from './berth/agent/v1/AgentMessage.ts';
import type { ClaimResizedReply as _berth_agent_v1_ClaimResizedReply, ClaimResizedReply__Output as _berth_agent_v1_ClaimResizedReply__Output } from './berth/agent/v1/ClaimResizedReply.ts';
import type { ClaimResizedRequest as _berth_agent_v1_ClaimResizedRequest, ClaimResizedRequest__Output as _berth_agent_v1_ClaimResizedRequest__Output } from './berth/agent/v1/ClaimResizedRequest.ts';
import type { CsiDriverReply as _berth_agent_v1_CsiDriverReply, CsiDriverReply__Output as _berth_agent_v1_CsiDriverReply__Output } from './berth/agent/v1/CsiDriverReply.ts';
import type { CsiDriverRequest as _berth_agent_v1_CsiDriverRequest, CsiDriverRequest__Output as _berth_agent_v1_CsiDriverRequest__Output } from './berth/agent/v1/CsiDriverRequest.ts';
import type { EventReport as _berth_agent_v1_EventReport, EventReport__Output as _berth_agent_v1_EventReport__Output } from './berth/agent/v1/EventReport.ts';
import type { GatewayClient as _berth_agent_v1_GatewayClient, GatewayDefinition as _berth_agent_v1_GatewayDefinition } from './berth/agent/v1/Gateway.ts';
import type { GatewayMessage as _berth_agent_v1_GatewayMessage, GatewayMessage__Output as _berth_agent_v1_GatewayMessage__Output } from './berth/agent/v1/GatewayMessage.ts';
import type { Heartbeat as _berth_agent_v1_Heartbeat, Heartbeat__Output as _berth_agent_v1_Heartbeat__Output } from './berth/agent/v1/Heartbeat.ts';
import type { HeartbeatAck as _berth_agent_v1_HeartbeatAck, HeartbeatAck__Output as _berth_agent_v1_HeartbeatAck__Output } from './berth/agent/v1/HeartbeatAck.ts';
import type { Hello as _berth_agent_v1_Hello, Hello__Output as _berth_agent_v1_Hello__Output } from './berth/agent/v1/Hello.ts';
import type { IssueTokenReply as _berth_agent_v1_IssueTokenReply, IssueTokenReply__Output as _berth_agent_v1_IssueTokenReply__Output } from './berth/agent/v1/IssueTokenReply.ts';
import type { IssueTokenRequest as _berth_agent_v1_IssueTokenRequest, IssueTokenRequest__Output as _berth_agent_v1_IssueTokenRequest__Output } from './berth/agent/v1/IssueTokenRequest.ts';
import type { JoinReply as _berth_agent_v1_JoinReply, JoinReply__Output as _berth_agent_v1_JoinReply__Output } from './berth/agent/v1/JoinReply.ts';
import type { JoinRequest as _berth_agent_v1_JoinRequest, JoinRequest__Output as _berth_agent_v1_JoinRequest__Output } from './berth/agent/v1/JoinRequest.ts';
import type { MirrorPodReply as _berth_agent_v1_MirrorPodReply, MirrorPodReply__Output as _berth_agent_v1_MirrorPodReply__Output } from './berth/agent/v1/MirrorPodReply.ts';
import type { MirrorPodRequest as _berth_agent_v1_MirrorPodRequest, MirrorPodRequest__Output as _berth_agent_v1_MirrorPodRequest__Output } from './berth/agent/v1/MirrorPodRequest.ts';
import type { NodeStatusReport as _berth_agent_v1_NodeStatusReport, NodeStatusReport__Output as _berth_agent_v1_NodeStatusReport__Output } from './berth/agent/v1/NodeStatusReport.ts';
import type { ObjectChange as _berth_agent_v1_ObjectChange, ObjectChange__Output as _berth_agent_v1_ObjectChange__Output } from './berth/agent/v1/ObjectChange.ts';
import type { OpenStream as _berth_agent_v1_OpenStream, OpenStream__Output as _berth_agent_v1_OpenStream__Output } from './berth/agent/v1/OpenStream.ts';
import type { PodRemoved as _berth_agent_v1_PodRemoved, PodRemoved__Output as _berth_agent_v1_PodRemoved__Output } from './berth/agent/v1/PodRemoved.ts';
import type { PodStatusReport as _berth_agent_v1_PodStatusReport, PodStatusReport__Output as _berth_agent_v1_PodStatusReport__Output } from './berth/agent/v1/PodStatusReport.ts';
import type { RenewRequest as _berth_agent_v1_RenewRequest, RenewRequest__Output as _berth_agent_v1_RenewRequest__Output } from './berth/agent/v1/RenewRequest.ts';
import type { ReportAck as _berth_agent_v1_ReportAck, ReportAck__Output as _berth_agent_v1_ReportAck__Output } from './berth/agent/v1/ReportAck.ts';
import type { Synced as _berth_agent_v1_Synced, Synced__Output as _berth_agent_v1_Synced__Output } from './berth/agent/v1/Synced.ts';
import type { VolumeErased as _berth_agent_v1_VolumeErased, VolumeErased__Output as _berth_agent_v1_VolumeErased__Output } from './berth/agent/v1/VolumeErased.ts';
import type { Welcome as _berth_agent_v1_Welcome, Welcome__Output as _berth_agent_v1_Welcome__Output } from './berth/agent/v1/Welcome.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  berth: {
    agent: {
      v1: {
        Ack: MessageTypeDefinition<_berth_agent_v1_Ack, _berth_agent_v1_Ack__Output>
        AgentMessage: MessageTypeDefinition<_berth_agent_v1_AgentMessage, _berth_agent_v1_AgentMessage__Output>
        ClaimResizedReply: MessageTypeDefinition<_berth_agent_v1_ClaimResizedReply, _berth_agent_v1_ClaimResizedReply__Output>
        ClaimResizedRequest: MessageTypeDefinition<_berth_agent_v1_ClaimResizedRequest, _berth_agent_v1_ClaimResizedRequest__Output>
        CsiDriverReply: MessageTypeDefinition<_berth_agent_v1_CsiDriverReply, _berth_agent_v1_CsiDriverReply__Output>
        CsiDriverRequest: MessageTypeDefinition<_berth_agent_v1_CsiDriverRequest, _berth_agent_v1_CsiDriverRequest__Output>
        EventReport: MessageTypeDefinition<_berth_agent_v1_EventReport, _berth_agent_v1_EventReport__Output>
        Gateway: SubtypeConstructor<typeof grpc.Client, _berth_agent_v1_GatewayClient> & { service: _berth_agent_v1_GatewayDefinition }
        GatewayMessage: MessageTypeDefinition<_berth_agent_v1_GatewayMessage, _berth_agent_v1_GatewayMessage__Output>
        Heartbeat: MessageTypeDefinition<_berth_agent_v1_Heartbeat, _berth_agent_v1_Heartbeat__Output>
        HeartbeatAck: MessageTypeDefinition<_berth_agent_v1_HeartbeatAck, _berth_agent_v1_HeartbeatAck__Output>
        Hello: MessageTypeDefinition<_berth_agent_v1_Hello, _berth_agent_v1_Hello__Output>
        IssueTokenReply: MessageTypeDefinition<_berth_agent_v1_IssueTokenReply, _berth_agent_v1_IssueTokenReply__Output>
        IssueTokenRequest: MessageTypeDefinition<_berth_agent_v1_IssueTokenRequest, _berth_agent_v1_IssueTokenRequest__Output>
        JoinReply: MessageTypeDefinition<_berth_agent_v1_JoinReply, _berth_agent_v1_JoinReply__Output>
        JoinRequest: MessageTypeDefinition<_berth_agent_v1_JoinRequest, _berth_agent_v1_JoinRequest__Output>
        MirrorPodReply: MessageTypeDefinition<_berth_agent_v1_MirrorPodReply, _berth_agent_v1_MirrorPodReply__Output>
        MirrorPodRequest: MessageTypeDefinition<_berth_agent_v1_MirrorPodRequest, _berth_agent_v1_MirrorPodRequest__Output>
        NodeStatusReport: MessageTypeDefinition<_berth_agent_v1_NodeStatusReport, _berth_agent_v1_NodeStatusReport__Output>
        ObjectChange: MessageTypeDefinition<_berth_agent_v1_ObjectChange, _berth_agent_v1_ObjectChange__Output>
        OpenStream: MessageTypeDefinition<_berth_agent_v1_OpenStream, _berth_agent_v1_OpenStream__Output>
        PodRemoved: MessageTypeDefinition<_berth_agent_v1_PodRemoved, _berth_agent_v1_PodRemoved__Output>
        PodStatusReport: MessageTypeDefinition<_berth_agent_v1_PodStatusReport, _berth_agent_v1_PodStatusReport__Output>
        RenewRequest: MessageTypeDefinition<_berth_agent_v1_RenewRequest, _berth_agent_v1_RenewRequest__Output>
        ReportAck: MessageTypeDefinition<_berth_agent_v1_ReportAck, _berth_agent_v1_ReportAck__Output>
        Synced: MessageTypeDefinition<_berth_agent_v1_Synced, _berth_agent_v1_Synced__Output>
        VolumeErased: MessageTypeDefinition<_berth_agent_v1_VolumeErased, _berth_agent_v1_VolumeErased__Output>
        Welcome: MessageTypeDefinition<_berth_agent_v1_Welcome, _berth_agent_v1_Welcome__Output>
      }
    }
  }
}

