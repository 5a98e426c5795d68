/**
 * The form of x-kubernetes-validations; what the expressions mean is checked by CEL (CheckRules of definition.ts).
 * Source: as keywords.ts.
 */
import { type FieldError, invalid, notSupported, required } from '../../field-error.ts';
import type { JSONSchemaProps, ValidationRule } from '../../gen/types/apiextensions-v1.ts';
import { structuralForm } from '../parse.ts';
import { child, type Structural } from '../schema.ts';
import { findField } from '../schema-path.ts';

const REASONS = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];
const LINE_BREAKS = /[\n\r]/;

export function validateRuleKeywords(s: JSONSchemaProps, path: string): FieldError[] {
  const rules = s['x-kubernetes-validations'] ?? [];
  const form = rules.some((rule) => Boolean(rule.fieldPath)) ? structuralForm(s) : undefined;
  return rules.flatMap((rule, i) => validateRule(form, rule, child(path, `x-kubernetes-validations[${i}]`)));
}

/** `form` undefined: the schema has other errors, its fields are not known. */
function validateRule(form: Structural | undefined, rule: ValidationRule, path: string): FieldError[] {
  const at = (name: string): string => child(path, name);
  const errors = validateMessage(rule, path);
  const expression = rule.messageExpression ?? '';
  if (expression !== '' && expression.trim() === '')
    errors.push(required(at('messageExpression'), 'messageExpression must be non-empty if specified'));
  if (rule.reason !== undefined && !REASONS.includes(rule.reason))
    errors.push(notSupported(at('reason'), rule.reason, REASONS));
  return [...errors, ...validateFieldPath(form, rule.fieldPath ?? '', at('fieldPath'))];
}

function validateMessage(rule: ValidationRule, path: string): FieldError[] {
  const text = rule.rule.trim();
  const given = rule.message ?? '';
  const message = given.trim();
  const at = child(path, 'message');
  if (text === '') return [required(child(path, 'rule'), 'rule is not specified')];
  if (given !== '' && message === '') return [invalid(at, given, 'must be non-empty if specified')];
  if (LINE_BREAKS.test(message)) return [invalid(at, given, 'must not contain line breaks')];
  if (LINE_BREAKS.test(text) && message === '')
    return [required(at, 'message must be specified if rule contains line breaks')];
  return [];
}

function validateFieldPath(form: Structural | undefined, given: string, at: string): FieldError[] {
  if (given === '') return [];
  const errors: FieldError[] = [];
  if (given.trim() === '') errors.push(invalid(at, given, 'must be non-empty if specified'));
  if (LINE_BREAKS.test(given)) errors.push(invalid(at, given, 'must not contain line breaks'));
  if (form !== undefined && 'error' in findField(form, given, { allowsBrackets: true }))
    errors.push(invalid(at, given, 'must be a valid path'));
  return errors;
}
