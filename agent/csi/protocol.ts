/** The node service of CSI 1.x. Source: github.com/container-storage-interface/spec csi.proto. */
import type { Method } from '../plugins/client.ts';
import { fields, int64, message, messages, method, servicesOf, text, textMap } from '../plugins/wire.ts';

export type TextMap = Readonly<Record<string, string>>;

export type AccessMode =
  | 'UNKNOWN'
  | 'SINGLE_NODE_WRITER'
  | 'MULTI_NODE_READER_ONLY'
  | 'MULTI_NODE_MULTI_WRITER'
  | 'SINGLE_NODE_SINGLE_WRITER'
  | 'SINGLE_NODE_MULTI_WRITER';

export interface VolumeCapability {
  readonly mount?: {
    readonly fs_type: string;
    readonly mount_flags: readonly string[];
    readonly volume_mount_group: string;
  };
  readonly block?: object;
  readonly access_mode: { readonly mode: AccessMode };
}

export interface NodeInfo {
  readonly node_id: string;
  readonly max_volumes_per_node: number;
  readonly accessible_topology?: { readonly segments: TextMap } | null | undefined;
}

export interface StageRequest {
  readonly volume_id: string;
  readonly publish_context: TextMap;
  readonly staging_target_path: string;
  readonly volume_capability: VolumeCapability;
  readonly secrets: TextMap;
  readonly volume_context: TextMap;
}

export interface PublishRequest extends StageRequest {
  readonly target_path: string;
  readonly readonly: boolean;
}

export interface ExpandRequest {
  readonly volume_id: string;
  readonly volume_path: string;
  readonly capacity_range: { readonly required_bytes: number };
  readonly staging_target_path: string;
  readonly volume_capability: VolumeCapability;
  readonly secrets: TextMap;
}

export interface VolumeUsage {
  readonly available: number;
  readonly total: number;
  readonly used: number;
  readonly unit: 'UNKNOWN' | 'BYTES' | 'INODES';
}

export interface NodeService {
  readonly NodeGetInfo: Method<object, NodeInfo>;
  readonly NodeGetCapabilities: Method<
    object,
    { readonly capabilities: readonly { readonly rpc?: { readonly type: string } | null }[] }
  >;
  readonly NodeStageVolume: Method<StageRequest, object>;
  readonly NodeUnstageVolume: Method<{ readonly volume_id: string; readonly staging_target_path: string }, object>;
  readonly NodePublishVolume: Method<PublishRequest, object>;
  readonly NodeUnpublishVolume: Method<{ readonly volume_id: string; readonly target_path: string }, object>;
  readonly NodeExpandVolume: Method<ExpandRequest, { readonly capacity_bytes: number }>;
  readonly NodeGetVolumeStats: Method<
    { readonly volume_id: string; readonly volume_path: string; readonly staging_target_path: string },
    { readonly usage: readonly VolumeUsage[] }
  >;
}

const CALLS = [
  'NodeStageVolume',
  'NodeUnstageVolume',
  'NodePublishVolume',
  'NodeUnpublishVolume',
  'NodeGetVolumeStats',
  'NodeExpandVolume',
  'NodeGetCapabilities',
  'NodeGetInfo',
];

/** Message types that a test's driver speaks too, with those of its controller service beside them. */
export function csiTypes(): Record<string, object> {
  return {
    VolumeCapability: {
      oneofs: { access_type: { oneof: ['block', 'mount'] } },
      fields: {
        block: message('BlockVolume', 1),
        mount: message('MountVolume', 2),
        access_mode: message('AccessMode', 3),
      },
      nested: {
        BlockVolume: fields({}),
        MountVolume: fields({
          fs_type: text(1),
          mount_flags: { rule: 'repeated', type: 'string', id: 2 },
          volume_mount_group: text(3),
        }),
        AccessMode: { fields: { mode: message('Mode', 1) }, nested: { Mode: { values: ACCESS_MODES } } },
      },
    },
    CapacityRange: fields({ required_bytes: int64(1), limit_bytes: int64(2) }),
    Topology: fields({ segments: textMap(1) }),
    ...nodeTypes(),
    Node: { methods: Object.fromEntries(CALLS.map((name) => [name, method(name)])) },
  };
}

const ACCESS_MODES = {
  UNKNOWN: 0,
  SINGLE_NODE_WRITER: 1,
  SINGLE_NODE_READER_ONLY: 2,
  MULTI_NODE_READER_ONLY: 3,
  MULTI_NODE_SINGLE_WRITER: 4,
  MULTI_NODE_MULTI_WRITER: 5,
  SINGLE_NODE_SINGLE_WRITER: 6,
  SINGLE_NODE_MULTI_WRITER: 7,
};

const NODE_CAPABILITIES = {
  UNKNOWN: 0,
  STAGE_UNSTAGE_VOLUME: 1,
  GET_VOLUME_STATS: 2,
  EXPAND_VOLUME: 3,
  VOLUME_CONDITION: 4,
  SINGLE_NODE_MULTI_WRITER: 5,
  VOLUME_MOUNT_GROUP: 6,
};

function nodeTypes(): Record<string, object> {
  const none = fields({});
  return {
    NodeStageVolumeRequest: fields({
      volume_id: text(1),
      publish_context: textMap(2),
      staging_target_path: text(3),
      volume_capability: message('VolumeCapability', 4),
      secrets: textMap(5),
      volume_context: textMap(6),
    }),
    NodeStageVolumeResponse: none,
    NodeUnstageVolumeRequest: fields({ volume_id: text(1), staging_target_path: text(2) }),
    NodeUnstageVolumeResponse: none,
    NodePublishVolumeRequest: fields({
      volume_id: text(1),
      publish_context: textMap(2),
      staging_target_path: text(3),
      target_path: text(4),
      volume_capability: message('VolumeCapability', 5),
      readonly: { type: 'bool', id: 6 },
      secrets: textMap(7),
      volume_context: textMap(8),
    }),
    NodePublishVolumeResponse: none,
    NodeUnpublishVolumeRequest: fields({ volume_id: text(1), target_path: text(2) }),
    NodeUnpublishVolumeResponse: none,
    NodeGetVolumeStatsRequest: fields({ volume_id: text(1), volume_path: text(2), staging_target_path: text(3) }),
    NodeGetVolumeStatsResponse: fields({ usage: messages('VolumeUsage', 1) }),
    VolumeUsage: {
      fields: { available: int64(1), total: int64(2), used: int64(3), unit: message('Unit', 4) },
      nested: { Unit: { values: { UNKNOWN: 0, BYTES: 1, INODES: 2 } } },
    },
    NodeGetCapabilitiesRequest: none,
    NodeGetCapabilitiesResponse: fields({ capabilities: messages('NodeServiceCapability', 1) }),
    NodeServiceCapability: {
      oneofs: { type: { oneof: ['rpc'] } },
      fields: { rpc: message('RPC', 1) },
      nested: { RPC: { fields: { type: message('Type', 1) }, nested: { Type: { values: NODE_CAPABILITIES } } } },
    },
    NodeGetInfoRequest: none,
    NodeGetInfoResponse: fields({
      node_id: text(1),
      max_volumes_per_node: int64(2),
      accessible_topology: message('Topology', 3),
    }),
    NodeExpandVolumeRequest: fields({
      volume_id: text(1),
      volume_path: text(2),
      capacity_range: message('CapacityRange', 3),
      staging_target_path: text(4),
      volume_capability: message('VolumeCapability', 5),
      secrets: textMap(6),
    }),
    NodeExpandVolumeResponse: fields({ capacity_bytes: int64(1) }),
  };
}

export function nodeService(): NodeService {
  return servicesOf('csi.v1', csiTypes())['csi.v1.Node'] as NodeService;
}
