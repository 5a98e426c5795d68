/**
 * Validation of CustomResourceDefinitions: create, update and status. Metadata has been validated by the rules common to all
 * kinds, with definitionName for the name; the object is decoded and defaulted (applyDefinitionDefaults).
 *
 * On update rules are not tightened for what was stored before they existed: a schema that is not structural, defaults with
 * unknown fields, unknown conversion review versions.
 * Source: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go.
 */
import { semanticEqual } from '../../equality.ts';
import { type FieldError, invalid, required } from '../../field-error.ts';
import type { CustomResourceDefinition, CustomResourceDefinitionSpec } from '../../gen/types/apiextensions-v1.ts';
import { Errors, eachItem } from '../../validation/field-path.ts';
import { dns1035Label } from '../../validation/names.ts';
import { parseStructural } from '../parse.ts';
import type { ValidateRules } from '../values/resource.ts';
import { type ConversionOptions, hasCertificate, isKnownReviewVersion, validateConversion } from './conversion.ts';
import { validateDefaults } from './defaults.ts';
import { validateApproval, validateGroupAndScope, validateNames, validateRequiredNames } from './names.ts';
import { SELECTABLE_FIELDS_MAX } from './selectable-fields.ts';
import { type CheckRules, type VersionOptions, validateVersion } from './versions.ts';

export interface DefinitionTools {
  readonly checkRules: CheckRules;
  readonly validateRules: ValidateRules;
}

/** Where nobody compiles rules: they hold. */
export const NO_DEFINITION_TOOLS: DefinitionTools = {
  checkRules: () => [],
  validateRules: () => [],
};

/** [] = valid. */
export function validateDefinition(crd: CustomResourceDefinition, tools: DefinitionTools): FieldError[] {
  const strict: VersionOptions = {
    ...tools,
    requiresStructural: true,
    requiresPrunedDefaults: true,
    isUnchanged: () => false,
    allowsManySelectable: () => false,
  };
  // The bundle may be filled in by another program before the definition is established.
  const conversion = { requiresKnownVersion: true, requiresCaBundle: false };
  return [
    ...validateSpec(crd.spec, strict, conversion),
    ...validateStatus(crd),
    ...validateApproval(crd, undefined),
    ...validatePreserve(crd, undefined),
  ];
}

/** [] = valid. Both are defaulted. */
export function validateDefinitionUpdate(
  next: CustomResourceDefinition,
  previous: CustomResourceDefinition,
  tools: DefinitionTools,
): FieldError[] {
  const errors = new Errors();
  errors.add(...validateSpec(next.spec, updateOptions(previous, tools), conversionOptions(previous)));
  if (isEstablished(previous)) {
    errors.immutable('spec.scope', next.spec.scope, previous.spec.scope);
    errors.immutable('spec.names.kind', next.spec.names.kind, previous.spec.names.kind);
  }
  errors.immutable('spec.group', next.spec.group, previous.spec.group);
  errors.immutable('spec.names.plural', next.spec.names.plural, previous.spec.names.plural);
  errors.add(...validateStatus(next), ...validateApproval(next, previous), ...validatePreserve(next, previous));
  return errors.list;
}

/** Of the status subresource. */
export function validateDefinitionStatus(crd: CustomResourceDefinition): FieldError[] {
  const names = crd.status?.acceptedNames;
  return names === undefined ? [] : validateNames(names, 'status.acceptedNames');
}

function isEstablished(crd: CustomResourceDefinition): boolean {
  return (crd.status?.conditions ?? []).some((c) => c.type === 'Established' && c.status === 'True');
}

function updateOptions(previous: CustomResourceDefinition, tools: DefinitionTools): VersionOptions {
  const { versions } = previous.spec;
  const parsed = versions.flatMap(({ schema }) =>
    schema?.openAPIV3Schema === undefined ? [] : [parseStructural(schema.openAPIV3Schema, '')],
  );
  const schemas = parsed.flatMap((p) => (p.schema === undefined ? [] : [p.schema]));
  const isUnpruned = schemas.some((schema) =>
    validateDefaults(schema, '', { requiresPruned: true, validateRules: () => [] }).some(
      (e) => e.detail === 'must not have unknown fields',
    ),
  );
  return {
    ...tools,
    // Pruning needs structure in any case: only a definition that keeps everything may do without.
    requiresStructural: parsed.length === schemas.length || previous.spec.preserveUnknownFields !== true,
    requiresPrunedDefaults: !isUnpruned,
    isUnchanged: (v) => semanticEqual(v.schema, versions.find((old) => old.name === v.name)?.schema),
    allowsManySelectable: (v) => {
      const before = versions.find((old) => old.name === v.name)?.selectableFields ?? [];
      return before.length > SELECTABLE_FIELDS_MAX && semanticEqual(before, v.selectableFields);
    },
  };
}

function conversionOptions(previous: CustomResourceDefinition): ConversionOptions {
  const webhook = previous.spec.conversion?.webhook;
  const versions = webhook?.conversionReviewVersions ?? [];
  const bundle = webhook?.clientConfig?.caBundle ?? '';
  return {
    requiresKnownVersion: versions.length === 0 || versions.some(isKnownReviewVersion),
    requiresCaBundle: isEstablished(previous) && (bundle === '' || hasCertificate(bundle)),
  };
}

function validateSpec(
  spec: CustomResourceDefinitionSpec,
  o: VersionOptions,
  conversion: ConversionOptions,
): FieldError[] {
  const errors = new Errors();
  errors.add(...validateGroupAndScope(spec));
  for (const [i, v] of spec.versions.entries())
    if (v.schema?.openAPIV3Schema === undefined) errors.add(required(`spec.versions[${i}].schema.openAPIV3Schema`));
  eachItem(spec.versions, 'spec.versions', (v, at) => {
    const messages = dns1035Label(v.name);
    if (messages.length > 0) errors.add(invalid(`${at}.name`, v.name, messages.join(',')));
    errors.add(...validateVersion(v, at, o));
  });
  const names = spec.versions.map((v) => v.name);
  if (new Set(names).size < names.length)
    errors.add(invalid('spec.versions', spec.versions, 'must contain unique version names'));
  if (spec.versions.filter((v) => v.storage).length !== 1)
    errors.add(invalid('spec.versions', spec.versions, 'must have exactly one version marked as storage version'));
  errors.add(...validateRequiredNames(spec.names, 'spec.names'), ...validateNames(spec.names, 'spec.names'));
  if (spec.conversion !== undefined && spec.conversion.strategy !== 'None' && spec.preserveUnknownFields === true)
    errors.add(
      invalid(
        'spec.conversion.strategy',
        spec.conversion.strategy,
        'must be None if spec.preserveUnknownFields is true',
      ),
    );
  errors.add(...validateConversion(spec.conversion, conversion));
  return errors.list;
}

function validateStatus(crd: CustomResourceDefinition): FieldError[] {
  const path = 'status.storedVersions';
  const stored = crd.status?.storedVersions ?? [];
  const errors = validateDefinitionStatus(crd);
  if (stored.length === 0) return [...errors, invalid(path, stored, 'must have at least one stored version')];
  for (const v of crd.spec.versions)
    if (v.storage && !stored.includes(v.name))
      errors.push(invalid(path, stored, `must have the storage version ${v.name}`));
  for (const [i, name] of stored.entries())
    if (!crd.spec.versions.some((v) => v.name === name))
      errors.push(
        invalid(
          `${path}[${i}]`,
          name,
          `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`,
        ),
      );
  return errors;
}

function validatePreserve(
  next: CustomResourceDefinition,
  previous: CustomResourceDefinition | undefined,
): FieldError[] {
  if (next.spec.preserveUnknownFields !== true || previous?.spec.preserveUnknownFields === true) return [];
  return [
    invalid(
      'spec.preserveUnknownFields',
      true,
      'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
    ),
  ];
}
