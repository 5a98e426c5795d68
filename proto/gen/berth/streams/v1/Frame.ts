// Original file: proto/streams.proto

import type { Hello as _berth_streams_v1_Hello, Hello__Output as _berth_streams_v1_Hello__Output } from '../../../berth/streams/v1/Hello.ts';
import type { Request as _berth_streams_v1_Request, Request__Output as _berth_streams_v1_Request__Output } from '../../../berth/streams/v1/Request.ts';
import type { Data as _berth_streams_v1_Data, Data__Output as _berth_streams_v1_Data__Output } from '../../../berth/streams/v1/Data.ts';
import type { Resize as _berth_streams_v1_Resize, Resize__Output as _berth_streams_v1_Resize__Output } from '../../../berth/streams/v1/Resize.ts';
import type { End as _berth_streams_v1_End, End__Output as _berth_streams_v1_End__Output } from '../../../berth/streams/v1/End.ts';
import type { RelayRequest as _berth_streams_v1_RelayRequest, RelayRequest__Output as _berth_streams_v1_RelayRequest__Output } from '../../../berth/streams/v1/RelayRequest.ts';

export interface Frame {
  'hello'?: (_berth_streams_v1_Hello | null);
  'request'?: (_berth_streams_v1_Request | null);
  'data'?: (_berth_streams_v1_Data | null);
  'resize'?: (_berth_streams_v1_Resize | null);
  'end'?: (_berth_streams_v1_End | null);
  'relay'?: (_berth_streams_v1_RelayRequest | null);
  'body'?: "hello"|"request"|"data"|"resize"|"end"|"relay";
}

export interface Frame__Output {
  'hello'?: (_berth_streams_v1_Hello__Output | null);
  'request'?: (_berth_streams_v1_Request__Output | null);
  'data'?: (_berth_streams_v1_Data__Output | null);
  'resize'?: (_berth_streams_v1_Resize__Output | null);
  'end'?: (_berth_streams_v1_End__Output | null);
  'relay'?: (_berth_streams_v1_RelayRequest__Output | null);
  'body'?: "hello"|"request"|"data"|"resize"|"end"|"relay";
}
