/**
 * One version of a CustomResourceDefinition: its schema, deprecation, subresources, columns and selectable fields.
 * Source: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go.
 */
import { type FieldError, forbidden, invalid, required } from '../../field-error.ts';
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinitionVersion,
  CustomResourceSubresources,
  JSONSchemaProps,
} from '../../gen/types/apiextensions-v1.ts';
import { Errors, eachItem } from '../../validation/field-path.ts';
import { parseStructural } from '../parse.ts';
import type { CheckOptions } from '../rules/check.ts';
import { child, type Structural } from '../schema.ts';
import type { ValidateRules } from '../values/resource.ts';
import { validateDefaults } from './defaults.ts';
import { validateKeywords } from './keywords.ts';
import { validateSelectableFields } from './selectable-fields.ts';

/** Compiles the rules of a whole schema: errors of the expressions, of their types, of their estimated cost. */
export type CheckRules = (schema: Structural, path: string, o: CheckOptions) => FieldError[];

export interface VersionOptions {
  readonly checkRules: CheckRules;
  readonly validateRules: ValidateRules;
  readonly requiresStructural: boolean;
  readonly requiresPrunedDefaults: boolean;
  /** The stored definition has the same schema for the version. */
  readonly isUnchanged: (version: CustomResourceDefinitionVersion) => boolean;
  /** More selectable fields than allowed are let through: they were there before. */
  readonly allowsManySelectable: (version: CustomResourceDefinitionVersion) => boolean;
}

export function validateVersion(v: CustomResourceDefinitionVersion, path: string, o: VersionOptions): FieldError[] {
  const errors = new Errors();
  errors.add(...validateDeprecation(v, `${path}.deprecationWarning`));
  const schema = v.schema?.openAPIV3Schema;
  if (schema !== undefined) errors.add(...validateSchema(schema, v, `${path}.schema.openAPIV3Schema`, o));
  errors.add(...validateSubresources(v.subresources, `${path}.subresources`));
  eachItem(v.additionalPrinterColumns, `${path}.additionalPrinterColumns`, (column, at) =>
    errors.add(...validateColumn(column, at)),
  );
  if ((v.selectableFields ?? []).length > 0)
    errors.add(...validateSelectableFields(v, path, { allowsMany: o.allowsManySelectable(v) }));
  return errors.list;
}

const WARNING_LENGTH_MAX = 256;

function validateDeprecation(v: CustomResourceDefinitionVersion, path: string): FieldError[] {
  const text = v.deprecationWarning;
  if (text === undefined) return [];
  const say = (detail: string): FieldError => invalid(path, text, detail);
  if (v.deprecated !== true) return [say('can only be set for deprecated versions')];
  const errors: FieldError[] = [];
  if (Buffer.byteLength(text) > WARNING_LENGTH_MAX)
    errors.push(say(`must be <= ${WARNING_LENGTH_MAX} characters long`));
  if (text === '') errors.push(say('must not be an empty string'));
  const odd = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.exec(text);
  if (odd !== null) {
    const at = Buffer.byteLength(text.slice(0, odd.index));
    errors.push(say(`must only contain printable UTF-8 characters; non-printable character found at index ${at}`));
  }
  return errors;
}

function validateSchema(
  s: JSONSchemaProps,
  v: CustomResourceDefinitionVersion,
  path: string,
  o: VersionOptions,
): FieldError[] {
  const errors = v.subresources?.status === undefined ? [] : validateRoot(s, path);
  if (s.nullable === true) errors.push(forbidden(`${path}.nullable`, 'nullable cannot be true at the root'));
  const keywords = validateKeywords(s, path);
  const parsed = o.requiresStructural ? parseStructural(s, path) : undefined;
  if (parsed === undefined) return [...errors, ...keywords];
  if (parsed.schema !== undefined)
    return [...errors, ...validateSound(parsed.schema, keywords, path, { ...o, isSame: o.isUnchanged(v) })];
  // That a keyword is not supported is said by validateKeywords too, in better words.
  if (!parsed.isUnsupported) return [...errors, ...parsed.errors, ...keywords];
  const said = [...errors, ...keywords];
  return said.length > 0 ? said : [...parsed.errors];
}

/** Of a schema that is structural: its defaults, and its rules where nothing else is wrong. */
function validateSound(
  schema: Structural,
  keywords: readonly FieldError[],
  path: string,
  o: VersionOptions & { readonly isSame: boolean },
): FieldError[] {
  const isSound = keywords.length === 0;
  const rules = schema.hasRules && isSound ? o.checkRules(schema, path, { isUnchanged: o.isSame }) : [];
  const defaults = validateDefaults(schema, path, {
    requiresPruned: o.requiresPrunedDefaults,
    // Rules that do not compile cannot be evaluated.
    validateRules: isSound && rules.length === 0 ? o.validateRules : () => [],
  });
  return [...defaults, ...keywords, ...(defaults.length === 0 ? rules : [])];
}

/** With a status subresource, `status` is validated alone: nothing at the root may tie it to the rest. */
function validateRoot(s: JSONSchemaProps, path: string): FieldError[] {
  if (s.type !== undefined && s.type !== 'object') {
    const detail =
      'only "object" is allowed as the type at the root of the schema if the status subresource is enabled';
    return [invalid(`${path}.type`, s.type, detail)];
  }
  const isOdd = Object.entries(s).some(([name, value]) => isSet(value) && !ROOT_KEYWORDS.has(name));
  if (!isOdd) return [];
  const detail = `only [${ROOT_FIELDS.join(' ')}] fields are allowed at the root of the schema if the status subresource is enabled`;
  return [invalid(path, s, detail)];
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== '';
}

/** As Go names them, for the message. */
const ROOT_FIELDS = (
  'Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems ' +
  'MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations'
).split(' ');
const ROOT_KEYWORDS = new Set([
  ...ROOT_FIELDS.map((name) => name.charAt(0).toLowerCase() + name.slice(1)),
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-validations',
]);

function validateSubresources(s: CustomResourceSubresources | undefined, path: string): FieldError[] {
  if (s?.scale === undefined) return [];
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = s.scale;
  return [
    ...validateScalePath(specReplicasPath, `${path}.scale.specReplicasPath`, ['.spec.']),
    ...validateScalePath(statusReplicasPath, `${path}.scale.statusReplicasPath`, ['.status.']),
    ...(labelSelectorPath
      ? validateScalePath(labelSelectorPath, `${path}.scale.labelSelectorPath`, ['.spec.', '.status.'])
      : []),
  ];
}

function validateScalePath(given: string, path: string, roots: readonly string[]): FieldError[] {
  if (!given) return [required(path)];
  const errors = validateSimplePath(given, path);
  if (errors.length > 0 || roots.some((root) => given.startsWith(root))) return errors;
  const names = roots.map((root) => root.slice(0, -1)).join(' or ');
  return [invalid(path, given, `should be a json path under ${roots.length > 1 ? 'either ' : ''}${names}`)];
}

function validateSimplePath(given: string, path: string): FieldError[] {
  return given.startsWith('.') ? [] : [invalid(path, given, 'must be a simple json path starting with .')];
}

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function validateColumn(c: CustomResourceColumnDefinition, path: string): FieldError[] {
  const at = (name: string): string => child(path, name);
  const errors: FieldError[] = [];
  const types = `must be one of ${COLUMN_TYPES.join(',')}`;
  if (!c.name) errors.push(required(at('name')));
  if (!c.type) errors.push(required(at('type'), types));
  else if (!COLUMN_TYPES.includes(c.type)) errors.push(invalid(at('type'), c.type, types));
  if (c.format && !COLUMN_FORMATS.includes(c.format))
    errors.push(invalid(at('format'), c.format, `must be one of ${COLUMN_FORMATS.join(',')}`));
  if (!c.jsonPath) errors.push(required(at('JSONPath')));
  else errors.push(...validateSimplePath(c.jsonPath, at('JSONPath')));
  return errors;
}
