/**
 * Loads the .proto files at run time: the one place that knows the loader's options (tools/generate-proto.ts mirrors them)
 * and where the files are. From the tree they lie beside this file; a bundle in dist/ finds them by searching upward for
 * `agent.proto` or `proto/agent.proto`, so both `dist/proto/` (installed) and the tree's `proto/` will do.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { ProtoGrpcType as AgentTypes } from './gen/agent.ts';
import type { ProtoGrpcType as StreamTypes } from './gen/streams.ts';

const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

export interface AgentProto {
  readonly Gateway: AgentTypes['berth']['agent']['v1']['Gateway'];
  readonly Streams: StreamTypes['berth']['streams']['v1']['Streams'];
}

/** Synchronous, at start-up only. `folder`: where to begin the search; default the folder of this module. */
export function loadAgentProto(folder = dirname(fileURLToPath(import.meta.url))): AgentProto {
  const found = findProtoFolder(folder);
  const definition = loadSync([join(found, 'agent.proto'), join(found, 'streams.proto')], OPTIONS);
  // The generated types describe exactly these files under these options: proto/gen.test.ts proves it.
  const types = loadPackageDefinition(definition) as unknown as AgentTypes & StreamTypes;
  return { Gateway: types.berth.agent.v1.Gateway, Streams: types.berth.streams.v1.Streams };
}

export function findProtoFolder(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    for (const candidate of [folder, join(folder, 'proto')])
      if (existsSync(join(candidate, 'agent.proto'))) return candidate;
    if (dirname(folder) === folder) throw new Error(`no agent.proto in ${from}, in a proto folder there, or above`);
  }
}
