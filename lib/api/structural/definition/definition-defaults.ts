/** Defaults of CustomResourceDefinitions. Source: apiextensions-apiserver pkg/apis/apiextensions/v1/defaults.go. */
import type { CustomResourceDefinition, CustomResourceDefinitionSpec } from '../../gen/types/apiextensions-v1.ts';

/** A copy, with lists where the decoder leaves null; names follow from the kind, the stored version is that of storage, conversion is None, services listen on 443. */
export function applyDefinitionDefaults(crd: CustomResourceDefinition): CustomResourceDefinition {
  const { names } = crd.spec;
  const stored = crd.status?.storedVersions ?? [];
  const storage = (crd.spec.versions ?? []).filter((v) => v.storage).slice(0, 1);
  return {
    ...crd,
    spec: {
      ...crd.spec,
      versions: crd.spec.versions ?? [],
      names: {
        ...names,
        singular: names.singular || names.kind.toLowerCase(),
        ...(names.listKind || !names.kind ? {} : { listKind: `${names.kind}List` }),
      },
      conversion: conversionOf(crd.spec),
    },
    status: {
      ...crd.status,
      conditions: crd.status?.conditions ?? [],
      acceptedNames: crd.status?.acceptedNames ?? { plural: '', kind: '' },
      storedVersions: stored.length > 0 ? stored : storage.map((v) => v.name),
    },
  };
}

function conversionOf(spec: CustomResourceDefinitionSpec): NonNullable<CustomResourceDefinitionSpec['conversion']> {
  const given = spec.conversion ?? { strategy: 'None' };
  const config = given.webhook?.clientConfig;
  if (given.webhook === undefined || config?.service === undefined || config.service.port !== undefined) return given;
  return {
    ...given,
    webhook: { ...given.webhook, clientConfig: { ...config, service: { ...config.service, port: 443 } } },
  };
}
