// Original file: proto/streams.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { Frame as _berth_streams_v1_Frame, Frame__Output as _berth_streams_v1_Frame__Output } from '../../../berth/streams/v1/Frame.ts';

export interface StreamsClient extends grpc.Client {
  Open(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  Open(options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  open(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  open(options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  
  Relay(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  Relay(options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  relay(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  relay(options?: grpc.CallOptions): grpc.ClientDuplexStream<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>;
  
}

export interface StreamsHandlers extends grpc.UntypedServiceImplementation {
  Open: grpc.handleBidiStreamingCall<_berth_streams_v1_Frame__Output, _berth_streams_v1_Frame>;
  
  Relay: grpc.handleBidiStreamingCall<_berth_streams_v1_Frame__Output, _berth_streams_v1_Frame>;
  
}

export interface StreamsDefinition extends grpc.ServiceDefinition {
  Open: MethodDefinition<_berth_streams_v1_Frame, _berth_streams_v1_Frame, _berth_streams_v1_Frame__Output, _berth_streams_v1_Frame__Output>
  Relay: MethodDefinition<_berth_streams_v1_Frame, _berth_streams_v1_Frame, _berth_streams_v1_Frame__Output, _berth_streams_v1_Frame__Output>
}
