// Original file: proto/agent.proto


export interface CsiDriverRequest {
  'name'?: (string);
  'driver'?: (Buffer | Uint8Array | string);
  'topology'?: ({[key: string]: string});
}

export interface CsiDriverRequest__Output {
  'name': (string);
  'driver': (Buffer);
  'topology': ({[key: string]: string});
}
