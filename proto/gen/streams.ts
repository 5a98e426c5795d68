import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { Data as _berth_streams_v1_Data, Data__Output as _berth_streams_v1_Data__Output } from './berth/streams/v1/Data.ts';
import type { End as _berth_streams_v1_End, End__Output as _berth_streams_v1_End__Output } from './berth/streams/v1/End.ts';
import type { Frame as _berth_streams_v1_Frame, Frame__Output as _berth_streams_v1_Frame__Output } from './berth/streams/v1/Frame.ts';
import type { Hello as _berth_streams_v1_Hello, Hello__Output as _berth_streams_v1_Hello__Output } from './berth/streams/v1/Hello.ts';
import type { LogOptions as _berth_streams_v1_LogOptions, LogOptions__Output as _berth_streams_v1_LogOptions__Output } from './berth/streams/v1/LogOptions.ts';
import type { RelayRequest as _berth_streams_v1_RelayRequest, RelayRequest__Output as _berth_streams_v1_RelayRequest__Output } from './berth/streams/v1/RelayRequest.ts';
import type { Request as _berth_streams_v1_Request, Request__Output as _berth_streams_v1_Request__Output } from './berth/streams/v1/Request.ts';
import type { Resize as _berth_streams_v1_Resize, Resize__Output as _berth_streams_v1_Resize__Output } from './berth/streams/v1/Resize.ts';
import type { StreamsClient as _berth_streams_v1_StreamsClient, StreamsDefinition as _berth_streams_v1_StreamsDefinition } from './berth/streams/v1/Streams.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  berth: {
    streams: {
      v1: {
        Data: MessageTypeDefinition<_berth_streams_v1_Data, _berth_streams_v1_Data__Output>
        End: MessageTypeDefinition<_berth_streams_v1_End, _berth_streams_v1_End__Output>
        Frame: MessageTypeDefinition<_berth_streams_v1_Frame, _berth_streams_v1_Frame__Output>
        Hello: MessageTypeDefinition<_berth_streams_v1_Hello, _berth_streams_v1_Hello__Output>
        LogOptions: MessageTypeDefinition<_berth_streams_v1_LogOptions, _berth_streams_v1_LogOptions__Output>
        RelayRequest: MessageTypeDefinition<_berth_streams_v1_RelayRequest, _berth_streams_v1_RelayRequest__Output>
        Request: MessageTypeDefinition<_berth_streams_v1_Request, _berth_streams_v1_Request__Output>
        Resize: MessageTypeDefinition<_berth_streams_v1_Resize, _berth_streams_v1_Resize__Output>
        Streams: SubtypeConstructor<typeof grpc.Client, _berth_streams_v1_StreamsClient> & { service: _berth_streams_v1_StreamsDefinition }
      }
    }
  }
}

