/** Device plugins. Source: k8s.io/kubelet pkg/apis/deviceplugin/v1beta1. */
import type { Method } from '../plugins/client.ts';
import { bool, fields, int32, int64, message, messages, servicesOf, text, textMap, texts } from '../plugins/wire.ts';

export const VERSION = 'v1beta1';

export interface DevicePluginOptions {
  readonly pre_start_required: boolean;
  readonly get_preferred_allocation_available: boolean;
}

export interface RegisterRequest {
  readonly version: string;
  /** Name of a socket in the folder. */
  readonly endpoint: string;
  readonly resource_name: string;
  readonly options?: DevicePluginOptions | null | undefined;
}

export interface Device {
  readonly ID: string;
  readonly health: string;
  readonly topology?: { readonly nodes: readonly { readonly ID: number }[] } | null | undefined;
}

export interface ContainerAllocation {
  readonly envs: Readonly<Record<string, string>>;
  readonly mounts: readonly {
    readonly container_path: string;
    readonly host_path: string;
    readonly read_only: boolean;
  }[];
  readonly devices: readonly {
    readonly container_path: string;
    readonly host_path: string;
    readonly permissions: string;
  }[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly cdi_devices: readonly { readonly name: string }[];
}

export interface DevicePluginService {
  readonly ListAndWatch: Method<object, { readonly devices: readonly Device[] }>;
  readonly GetPreferredAllocation: Method<
    {
      readonly container_requests: readonly {
        readonly available_deviceIDs: readonly string[];
        readonly must_include_deviceIDs: readonly string[];
        readonly allocation_size: number;
      }[];
    },
    { readonly container_responses: readonly { readonly deviceIDs: readonly string[] }[] }
  >;
  readonly Allocate: Method<
    { readonly container_requests: readonly { readonly devices_ids: readonly string[] }[] },
    { readonly container_responses: readonly ContainerAllocation[] }
  >;
  readonly PreStartContainer: Method<{ readonly devices_ids: readonly string[] }, object>;
  readonly GetDevicePluginOptions: Method<object, DevicePluginOptions>;
}

export interface DeviceServices {
  readonly 'v1beta1.Registration': object;
  readonly 'v1beta1.DevicePlugin': DevicePluginService;
}

export function deviceServices(): DeviceServices {
  const call = (requestType: string, responseType: string, more: object = {}): object => ({
    requestType,
    responseType,
    ...more,
  });
  return servicesOf('v1beta1', {
    Registration: { methods: { Register: call('RegisterRequest', 'Empty') } },
    DevicePlugin: {
      methods: {
        GetDevicePluginOptions: call('Empty', 'DevicePluginOptions'),
        ListAndWatch: call('Empty', 'ListAndWatchResponse', { responseStream: true }),
        GetPreferredAllocation: call('PreferredAllocationRequest', 'PreferredAllocationResponse'),
        Allocate: call('AllocateRequest', 'AllocateResponse'),
        PreStartContainer: call('PreStartContainerRequest', 'PreStartContainerResponse'),
      },
    },
    Empty: fields({}),
    DevicePluginOptions: fields({ pre_start_required: bool(1), get_preferred_allocation_available: bool(2) }),
    RegisterRequest: fields({
      version: text(1),
      endpoint: text(2),
      resource_name: text(3),
      options: message('DevicePluginOptions', 4),
    }),
    ListAndWatchResponse: fields({ devices: messages('Device', 1) }),
    TopologyInfo: fields({ nodes: messages('NUMANode', 1) }),
    NUMANode: fields({ ID: int64(1) }),
    Device: fields({ ID: text(1), health: text(2), topology: message('TopologyInfo', 3) }),
    PreStartContainerRequest: fields({ devices_ids: texts(1) }),
    PreStartContainerResponse: fields({}),
    PreferredAllocationRequest: fields({ container_requests: messages('ContainerPreferredAllocationRequest', 1) }),
    ContainerPreferredAllocationRequest: fields({
      available_deviceIDs: texts(1),
      must_include_deviceIDs: texts(2),
      allocation_size: int32(3),
    }),
    PreferredAllocationResponse: fields({ container_responses: messages('ContainerPreferredAllocationResponse', 1) }),
    ContainerPreferredAllocationResponse: fields({ deviceIDs: texts(1) }),
    AllocateRequest: fields({ container_requests: messages('ContainerAllocateRequest', 1) }),
    ContainerAllocateRequest: fields({ devices_ids: texts(1) }),
    CDIDevice: fields({ name: text(1) }),
    AllocateResponse: fields({ container_responses: messages('ContainerAllocateResponse', 1) }),
    ContainerAllocateResponse: fields({
      envs: textMap(1),
      mounts: messages('Mount', 2),
      devices: messages('DeviceSpec', 3),
      annotations: textMap(4),
      cdi_devices: messages('CDIDevice', 5),
    }),
    Mount: fields({ container_path: text(1), host_path: text(2), read_only: bool(3) }),
    DeviceSpec: fields({ container_path: text(1), host_path: text(2), permissions: text(3) }),
  }) as unknown as DeviceServices;
}
