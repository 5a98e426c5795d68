/** How a plugin tells the node of itself. Source: k8s.io/kubelet pkg/apis/pluginregistration/v1. */
import type { Method } from './client.ts';
import { bool, fields, servicesOf, text, texts } from './wire.ts';

export interface PluginInfo {
  readonly type: string;
  readonly name: string;
  /** '' = the socket that announced it. */
  readonly endpoint: string;
  readonly supported_versions: readonly string[];
}

export interface RegistrationStatus {
  readonly plugin_registered: boolean;
  readonly error: string;
}

export interface RegistrationService {
  readonly GetInfo: Method<object, PluginInfo>;
  readonly NotifyRegistrationStatus: Method<RegistrationStatus, object>;
}

export function registrationService(): RegistrationService {
  const services = servicesOf('pluginregistration', {
    PluginInfo: fields({ type: text(1), name: text(2), endpoint: text(3), supported_versions: texts(4) }),
    RegistrationStatus: fields({ plugin_registered: bool(1), error: text(2) }),
    RegistrationStatusResponse: fields({}),
    InfoRequest: fields({}),
    Registration: {
      methods: {
        GetInfo: { requestType: 'InfoRequest', responseType: 'PluginInfo' },
        NotifyRegistrationStatus: {
          requestType: 'RegistrationStatus',
          responseType: 'RegistrationStatusResponse',
        },
      },
    },
  });
  return services['pluginregistration.Registration'] as RegistrationService;
}
