export { type CustomColumn, type CustomColumns, customColumns } from './columns.ts';
export { applyStructuralDefaults } from './defaulting.ts';
export {
  type DefinitionTools,
  validateDefinition,
  validateDefinitionStatus,
  validateDefinitionUpdate,
} from './definition/definition.ts';
export { applyDefinitionDefaults } from './definition/definition-defaults.ts';
export { definitionName } from './definition/names.ts';
export type { CheckRules } from './definition/versions.ts';
export { type CustomKind, customComponentName, customComponents, customKindOf } from './openapi.ts';
export { type ParsedSchema, parseStructural } from './parse.ts';
export { type Pruned, pruneObject, pruneValue } from './prune.ts';
export type { Regex, RegexEngine } from './regex.ts';
export { fieldSchema, type Limits, type Structural } from './schema.ts';
export { shapeOfStructural } from './shape.ts';
export { type Coerced, coerceEmbedded } from './values/embedded-metadata.ts';
export {
  type ResourceRules,
  type ValidateRules,
  validateCustomResource,
  validateCustomResourceStatus,
  validateCustomResourceUpdate,
} from './values/resource.ts';
export { type NestedValue, nestedValue } from './values/scale.ts';
export { validateChangedValue, validateValue } from './values/validate.ts';
