export { type CustomColumn, type CustomColumns, customColumns } from './columns.ts';
export { applyStructuralDefaults } from './defaulting.ts';
export {
  type DefinitionTools,
  NO_DEFINITION_TOOLS,
  validateDefinition,
  validateDefinitionStatus,
  validateDefinitionUpdate,
} from './definition/definition.ts';
export { applyDefinitionDefaults } from './definition/definition-defaults.ts';
export { approvalCondition, definitionName } from './definition/names.ts';
export { type CustomKinds, customKindsOf } from './kinds.ts';
export { type CustomKind, customComponentName, customComponents, customKindOf } from './openapi.ts';
export { type ParsedSchema, parseStructural } from './parse.ts';
export { type Pruned, pruneObject, pruneValue } from './prune.ts';
export { Declarations } from './rules/declaration.ts';
export { type RuleTools, ruleTools } from './rules/rules.ts';
export { fieldSchema, type Limits, type Structural } from './schema.ts';
export { shapeOfStructural } from './shape.ts';
export { type Coerced, coerceEmbedded } from './values/embedded-metadata.ts';
export {
  type ResourceRules,
  validateCustomResource,
  validateCustomResourceStatus,
  validateCustomResourceUpdate,
} from './values/resource.ts';
export { type NestedValue, nestedValue } from './values/scale.ts';
export { validateChangedValue, validateValue } from './values/validate.ts';
