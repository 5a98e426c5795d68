// Original file: proto/agent.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { AgentMessage as _berth_agent_v1_AgentMessage, AgentMessage__Output as _berth_agent_v1_AgentMessage__Output } from '../../../berth/agent/v1/AgentMessage.ts';
import type { ClaimResizedReply as _berth_agent_v1_ClaimResizedReply, ClaimResizedReply__Output as _berth_agent_v1_ClaimResizedReply__Output } from '../../../berth/agent/v1/ClaimResizedReply.ts';
import type { ClaimResizedRequest as _berth_agent_v1_ClaimResizedRequest, ClaimResizedRequest__Output as _berth_agent_v1_ClaimResizedRequest__Output } from '../../../berth/agent/v1/ClaimResizedRequest.ts';
import type { CsiDriverReply as _berth_agent_v1_CsiDriverReply, CsiDriverReply__Output as _berth_agent_v1_CsiDriverReply__Output } from '../../../berth/agent/v1/CsiDriverReply.ts';
import type { CsiDriverRequest as _berth_agent_v1_CsiDriverRequest, CsiDriverRequest__Output as _berth_agent_v1_CsiDriverRequest__Output } from '../../../berth/agent/v1/CsiDriverRequest.ts';
import type { GatewayMessage as _berth_agent_v1_GatewayMessage, GatewayMessage__Output as _berth_agent_v1_GatewayMessage__Output } from '../../../berth/agent/v1/GatewayMessage.ts';
import type { IssueTokenReply as _berth_agent_v1_IssueTokenReply, IssueTokenReply__Output as _berth_agent_v1_IssueTokenReply__Output } from '../../../berth/agent/v1/IssueTokenReply.ts';
import type { IssueTokenRequest as _berth_agent_v1_IssueTokenRequest, IssueTokenRequest__Output as _berth_agent_v1_IssueTokenRequest__Output } from '../../../berth/agent/v1/IssueTokenRequest.ts';
import type { JoinReply as _berth_agent_v1_JoinReply, JoinReply__Output as _berth_agent_v1_JoinReply__Output } from '../../../berth/agent/v1/JoinReply.ts';
import type { JoinRequest as _berth_agent_v1_JoinRequest, JoinRequest__Output as _berth_agent_v1_JoinRequest__Output } from '../../../berth/agent/v1/JoinRequest.ts';
import type { MirrorPodReply as _berth_agent_v1_MirrorPodReply, MirrorPodReply__Output as _berth_agent_v1_MirrorPodReply__Output } from '../../../berth/agent/v1/MirrorPodReply.ts';
import type { MirrorPodRequest as _berth_agent_v1_MirrorPodRequest, MirrorPodRequest__Output as _berth_agent_v1_MirrorPodRequest__Output } from '../../../berth/agent/v1/MirrorPodRequest.ts';
import type { RenewRequest as _berth_agent_v1_RenewRequest, RenewRequest__Output as _berth_agent_v1_RenewRequest__Output } from '../../../berth/agent/v1/RenewRequest.ts';

export interface GatewayClient extends grpc.Client {
  ClaimResized(argument: _berth_agent_v1_ClaimResizedRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  ClaimResized(argument: _berth_agent_v1_ClaimResizedRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  ClaimResized(argument: _berth_agent_v1_ClaimResizedRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  ClaimResized(argument: _berth_agent_v1_ClaimResizedRequest, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  claimResized(argument: _berth_agent_v1_ClaimResizedRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  claimResized(argument: _berth_agent_v1_ClaimResizedRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  claimResized(argument: _berth_agent_v1_ClaimResizedRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  claimResized(argument: _berth_agent_v1_ClaimResizedRequest, callback: grpc.requestCallback<_berth_agent_v1_ClaimResizedReply__Output>): grpc.ClientUnaryCall;
  
  IssueToken(argument: _berth_agent_v1_IssueTokenRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  IssueToken(argument: _berth_agent_v1_IssueTokenRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  IssueToken(argument: _berth_agent_v1_IssueTokenRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  IssueToken(argument: _berth_agent_v1_IssueTokenRequest, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  issueToken(argument: _berth_agent_v1_IssueTokenRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  issueToken(argument: _berth_agent_v1_IssueTokenRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  issueToken(argument: _berth_agent_v1_IssueTokenRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  issueToken(argument: _berth_agent_v1_IssueTokenRequest, callback: grpc.requestCallback<_berth_agent_v1_IssueTokenReply__Output>): grpc.ClientUnaryCall;
  
  Join(argument: _berth_agent_v1_JoinRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  Join(argument: _berth_agent_v1_JoinRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  Join(argument: _berth_agent_v1_JoinRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  Join(argument: _berth_agent_v1_JoinRequest, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  join(argument: _berth_agent_v1_JoinRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  join(argument: _berth_agent_v1_JoinRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  join(argument: _berth_agent_v1_JoinRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  join(argument: _berth_agent_v1_JoinRequest, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  
  MirrorPod(argument: _berth_agent_v1_MirrorPodRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  MirrorPod(argument: _berth_agent_v1_MirrorPodRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  MirrorPod(argument: _berth_agent_v1_MirrorPodRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  MirrorPod(argument: _berth_agent_v1_MirrorPodRequest, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  mirrorPod(argument: _berth_agent_v1_MirrorPodRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  mirrorPod(argument: _berth_agent_v1_MirrorPodRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  mirrorPod(argument: _berth_agent_v1_MirrorPodRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  mirrorPod(argument: _berth_agent_v1_MirrorPodRequest, callback: grpc.requestCallback<_berth_agent_v1_MirrorPodReply__Output>): grpc.ClientUnaryCall;
  
  PutCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  PutCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  PutCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  PutCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  putCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  putCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  putCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  putCsiDriver(argument: _berth_agent_v1_CsiDriverRequest, callback: grpc.requestCallback<_berth_agent_v1_CsiDriverReply__Output>): grpc.ClientUnaryCall;
  
  Renew(argument: _berth_agent_v1_RenewRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  Renew(argument: _berth_agent_v1_RenewRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  Renew(argument: _berth_agent_v1_RenewRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  Renew(argument: _berth_agent_v1_RenewRequest, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  renew(argument: _berth_agent_v1_RenewRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  renew(argument: _berth_agent_v1_RenewRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  renew(argument: _berth_agent_v1_RenewRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  renew(argument: _berth_agent_v1_RenewRequest, callback: grpc.requestCallback<_berth_agent_v1_JoinReply__Output>): grpc.ClientUnaryCall;
  
  Session(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_agent_v1_AgentMessage, _berth_agent_v1_GatewayMessage__Output>;
  Session(options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_agent_v1_AgentMessage, _berth_agent_v1_GatewayMessage__Output>;
  session(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_agent_v1_AgentMessage, _berth_agent_v1_GatewayMessage__Output>;
  session(options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_agent_v1_AgentMessage, _berth_agent_v1_GatewayMessage__Output>;
  
}

export interface GatewayHandlers extends grpc.UntypedServiceImplementation {
  ClaimResized: grpc.handleUnaryCall<_berth_agent_v1_ClaimResizedRequest__Output, _berth_agent_v1_ClaimResizedReply>;
  
  IssueToken: grpc.handleUnaryCall<_berth_agent_v1_IssueTokenRequest__Output, _berth_agent_v1_IssueTokenReply>;
  
  Join: grpc.handleUnaryCall<_berth_agent_v1_JoinRequest__Output, _berth_agent_v1_JoinReply>;
  
  MirrorPod: grpc.handleUnaryCall<_berth_agent_v1_MirrorPodRequest__Output, _berth_agent_v1_MirrorPodReply>;
  
  PutCsiDriver: grpc.handleUnaryCall<_berth_agent_v1_CsiDriverRequest__Output, _berth_agent_v1_CsiDriverReply>;
  
  Renew: grpc.handleUnaryCall<_berth_agent_v1_RenewRequest__Output, _berth_agent_v1_JoinReply>;
  
  Session: grpc.handleBidiStreamingCall<_berth_agent_v1_AgentMessage__Output, _berth_agent_v1_GatewayMessage>;
  
}

export interface GatewayDefinition extends grpc.ServiceDefinition {
  ClaimResized: MethodDefinition<_berth_agent_v1_ClaimResizedRequest, _berth_agent_v1_ClaimResizedReply, _berth_agent_v1_ClaimResizedRequest__Output, _berth_agent_v1_ClaimResizedReply__Output>
  IssueToken: MethodDefinition<_berth_agent_v1_IssueTokenRequest, _berth_agent_v1_IssueTokenReply, _berth_agent_v1_IssueTokenRequest__Output, _berth_agent_v1_IssueTokenReply__Output>
  Join: MethodDefinition<_berth_agent_v1_JoinRequest, _berth_agent_v1_JoinReply, _berth_agent_v1_JoinRequest__Output, _berth_agent_v1_JoinReply__Output>
  MirrorPod: MethodDefinition<_berth_agent_v1_MirrorPodRequest, _berth_agent_v1_MirrorPodReply, _berth_agent_v1_MirrorPodRequest__Output, _berth_agent_v1_MirrorPodReply__Output>
  PutCsiDriver: MethodDefinition<_berth_agent_v1_CsiDriverRequest, _berth_agent_v1_CsiDriverReply, _berth_agent_v1_CsiDriverRequest__Output, _berth_agent_v1_CsiDriverReply__Output>
  Renew: MethodDefinition<_berth_agent_v1_RenewRequest, _berth_agent_v1_JoinReply, _berth_agent_v1_RenewRequest__Output, _berth_agent_v1_JoinReply__Output>
  Session: MethodDefinition<_berth_agent_v1_AgentMessage, _berth_agent_v1_GatewayMessage, _berth_agent_v1_AgentMessage__Output, _berth_agent_v1_GatewayMessage__Output>
}
