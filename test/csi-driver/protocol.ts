/** All of CSI that the test's driver speaks: the agent's table of types, with identity and controller beside it. */
import { csiTypes, type NodeService, type TextMap, type VolumeCapability } from '../../agent/csi/protocol.ts';
import type { Method } from '../../agent/plugins/client.ts';
import { fields, int64, message, messages, method, servicesOf, text, textMap } from '../../agent/plugins/wire.ts';

export interface ControllerService {
  readonly CreateVolume: Method<
    {
      readonly name: string;
      readonly capacity_range: { readonly required_bytes: number };
      readonly volume_capabilities: readonly VolumeCapability[];
      readonly parameters: TextMap;
    },
    {
      readonly volume: {
        readonly volume_id: string;
        readonly capacity_bytes: number;
        readonly volume_context: TextMap;
      };
    }
  >;
  readonly DeleteVolume: Method<{ readonly volume_id: string }, object>;
  readonly ControllerPublishVolume: Method<
    { readonly volume_id: string; readonly node_id: string; readonly volume_context: TextMap },
    { readonly publish_context: TextMap }
  >;
  readonly ControllerUnpublishVolume: Method<{ readonly volume_id: string; readonly node_id: string }, object>;
  readonly ControllerExpandVolume: Method<
    { readonly volume_id: string; readonly capacity_range: { readonly required_bytes: number } },
    { readonly capacity_bytes: number; readonly node_expansion_required: boolean }
  >;
}

const CONTROLLER_CALLS = [
  'CreateVolume',
  'DeleteVolume',
  'ControllerPublishVolume',
  'ControllerUnpublishVolume',
  'ControllerExpandVolume',
];
const IDENTITY_CALLS = ['GetPluginInfo', 'Probe'];

export interface CsiServices {
  readonly 'csi.v1.Identity': object;
  readonly 'csi.v1.Controller': ControllerService;
  readonly 'csi.v1.Node': NodeService;
}

export function csiServices(): CsiServices {
  const calls = (names: readonly string[]): object => ({
    methods: Object.fromEntries(names.map((name) => [name, method(name)])),
  });
  const none = fields({});
  return servicesOf('csi.v1', {
    ...csiTypes(),
    Identity: calls(IDENTITY_CALLS),
    Controller: calls(CONTROLLER_CALLS),
    GetPluginInfoRequest: none,
    GetPluginInfoResponse: fields({ name: text(1), vendor_version: text(2) }),
    ProbeRequest: none,
    ProbeResponse: none,
    Volume: fields({ capacity_bytes: int64(1), volume_id: text(2), volume_context: textMap(3) }),
    CreateVolumeRequest: fields({
      name: text(1),
      capacity_range: message('CapacityRange', 2),
      volume_capabilities: messages('VolumeCapability', 3),
      parameters: textMap(4),
    }),
    CreateVolumeResponse: fields({ volume: message('Volume', 1) }),
    DeleteVolumeRequest: fields({ volume_id: text(1) }),
    DeleteVolumeResponse: none,
    ControllerPublishVolumeRequest: fields({
      volume_id: text(1),
      node_id: text(2),
      volume_capability: message('VolumeCapability', 3),
      volume_context: textMap(6),
    }),
    ControllerPublishVolumeResponse: fields({ publish_context: textMap(1) }),
    ControllerUnpublishVolumeRequest: fields({ volume_id: text(1), node_id: text(2) }),
    ControllerUnpublishVolumeResponse: none,
    ControllerExpandVolumeRequest: fields({ volume_id: text(1), capacity_range: message('CapacityRange', 2) }),
    ControllerExpandVolumeResponse: fields({
      capacity_bytes: int64(1),
      node_expansion_required: { type: 'bool', id: 2 },
    }),
  }) as unknown as CsiServices;
}
