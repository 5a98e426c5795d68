import { describe, expect, test } from 'vitest';
import type {
  CustomResourceConversion,
  CustomResourceDefinition,
  CustomResourceDefinitionSpec,
  CustomResourceDefinitionVersion,
} from '../../gen/types/apiextensions-v1.ts';
import { errorTexts } from '../testing/schemas.ts';
import { type DefinitionTools, validateDefinition, validateDefinitionUpdate } from './definition.ts';
import { applyDefinitionDefaults } from './definition-defaults.ts';
import { definitionName } from './names.ts';

const TOOLS: DefinitionTools = { checkRules: () => [], validateRules: () => [] };
const V1: CustomResourceDefinitionVersion = {
  name: 'v1',
  served: true,
  storage: true,
  schema: {
    openAPIV3Schema: {
      type: 'object',
      properties: { spec: { type: 'object', properties: { color: { type: 'string' } } } },
    },
  },
};

function definition(spec: Partial<CustomResourceDefinitionSpec> = {}): CustomResourceDefinition {
  return applyDefinitionDefaults({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget' },
      versions: [V1],
      ...spec,
    },
  });
}

function errorsOf(spec: Partial<CustomResourceDefinitionSpec>): string[] {
  return errorTexts(validateDefinition(definition(spec), TOOLS));
}

function ofVersion(v: Partial<CustomResourceDefinitionVersion>): string[] {
  return errorsOf({ versions: [{ ...V1, ...v }] }).map((text) => text.replace('spec.versions[0].', ''));
}

describe('applyDefinitionDefaults', () => {
  test('names follow from the kind, the stored version is that of storage', () => {
    const crd = definition();
    expect(crd.spec.names).toEqual({ plural: 'widgets', kind: 'Widget', singular: 'widget', listKind: 'WidgetList' });
    expect(crd.spec.conversion).toEqual({ strategy: 'None' });
    expect(crd.status?.storedVersions).toEqual(['v1']);
    expect(applyDefinitionDefaults(crd)).toEqual(crd);
  });
});

describe('validateDefinition: names, versions', () => {
  test('a good one', () => {
    expect(errorsOf({})).toEqual([]);
    expect(definitionName(definition().spec)('widgets.example.com')).toEqual([]);
    expect(definitionName(definition().spec)('other.example.com')).toEqual([
      'must be spec.names.plural+"."+spec.group',
    ]);
  });

  test('group and scope', () => {
    expect(errorsOf({ group: '' })).toEqual(['spec.group: Required value']);
    expect(errorsOf({ group: 'example' })).toEqual([
      'spec.group: Invalid value: "example": should be a domain with at least one dot',
    ]);
    expect(errorsOf({ group: 'A.b' })[0]).toContain('spec.group: Invalid value: "A.b": a lowercase RFC 1123 subdomain');
    expect(errorsOf({ scope: '' })).toEqual(['spec.scope: Required value']);
    expect(errorsOf({ scope: 'Everywhere' })).toEqual([
      'spec.scope: Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"',
    ]);
  });

  test('names', () => {
    expect(errorsOf({ names: { plural: '', kind: '' } })).toEqual([
      'spec.names.plural: Required value',
      'spec.names.singular: Required value',
      'spec.names.kind: Required value',
      'spec.names.listKind: Required value',
    ]);
    expect(errorsOf({ names: { plural: 'widgets', kind: 'Widget', listKind: 'Widget' } })).toEqual([
      'spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same',
    ]);
    const odd = errorsOf({ names: { plural: 'Widgets', kind: 'Wid_get', shortNames: ['W'], categories: ['A'] } });
    expect(odd.map((text) => text.slice(0, text.indexOf(': Invalid')))).toEqual([
      'spec.names.plural',
      'spec.names.singular',
      'spec.names.kind',
      'spec.names.listKind',
      'spec.names.shortNames[0]',
      'spec.names.categories[0]',
    ]);
    expect(odd[2]).toContain('may have mixed case, but should otherwise match: a DNS-1035 label');
  });

  test('versions: unique, one of them stored, each with a schema', () => {
    const two = [V1, { ...V1, storage: false }];
    expect(errorsOf({ versions: two })[0]).toMatch(
      /^spec.versions: Invalid value: \[.*\]: must contain unique version names$/,
    );
    const none = errorsOf({ versions: [{ ...V1, storage: false }] });
    expect(none[0]).toMatch(
      /^spec.versions: Invalid value: .*: must have exactly one version marked as storage version$/,
    );
    expect(none[1]).toBe('status.storedVersions: Invalid value: []: must have at least one stored version');
    const { schema: _schema, ...bare } = V1;
    expect(errorsOf({ versions: [bare] })).toEqual(['spec.versions[0].schema.openAPIV3Schema: Required value']);
    expect(errorsOf({ versions: [{ ...V1, name: 'V1' }] })[0]).toContain(
      'spec.versions[0].name: Invalid value: "V1": a DNS-1035 label',
    );
  });

  test('stored versions', () => {
    const crd = definition();
    const status = { conditions: [], acceptedNames: { plural: '', kind: '' }, storedVersions: ['v0'] };
    expect(errorTexts(validateDefinition({ ...crd, status }, TOOLS))).toEqual([
      'status.storedVersions: Invalid value: ["v0"]: must have the storage version v1',
      'status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions',
    ]);
  });

  test('preserveUnknownFields is of the past', () => {
    expect(errorsOf({ preserveUnknownFields: true })).toEqual([
      'spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
    ]);
  });

  test('groups of Kubernetes need an approval', () => {
    const path = 'metadata.annotations[api-approved.kubernetes.io]';
    const of = (annotation?: string): string[] => {
      const crd = definition({ group: 'x.k8s.io' });
      const annotations = annotation === undefined ? {} : { 'api-approved.kubernetes.io': annotation };
      return errorTexts(validateDefinition({ ...crd, metadata: { ...crd.metadata, annotations } }, TOOLS));
    };
    expect(of()).toEqual([
      `${path}: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111`,
    ]);
    expect(of('yes')[0]).toContain('with either a URL or a reason starting with "unapproved"');
    expect(of('https://example.com/pr/1')).toEqual([]);
    expect(of('unapproved, a test')).toEqual([]);
  });
});

describe('validateDefinition: parts of a version', () => {
  test('deprecation', () => {
    const path = 'deprecationWarning: Invalid value';
    expect(ofVersion({ deprecationWarning: 'x' })).toEqual([`${path}: "x": can only be set for deprecated versions`]);
    expect(ofVersion({ deprecated: true, deprecationWarning: '' })).toEqual([
      `${path}: "": must not be an empty string`,
    ]);
    expect(ofVersion({ deprecated: true, deprecationWarning: 'ü\n' })).toEqual([
      `${path}: "ü\\n": must only contain printable UTF-8 characters; non-printable character found at index 2`,
    ]);
    expect(ofVersion({ deprecated: true, deprecationWarning: 'x'.repeat(257) })[0]).toContain(
      'must be <= 256 characters long',
    );
    expect(ofVersion({ deprecated: true, deprecationWarning: 'use v2 instead' })).toEqual([]);
  });

  test('scale paths', () => {
    const scale = (specReplicasPath: string, statusReplicasPath: string, labelSelectorPath?: string): string[] =>
      ofVersion({ subresources: { scale: { specReplicasPath, statusReplicasPath, labelSelectorPath } } });
    expect(scale('.spec.n', '.status.n', '.status.sel')).toEqual([]);
    expect(scale('', '')).toEqual([
      'subresources.scale.specReplicasPath: Required value',
      'subresources.scale.statusReplicasPath: Required value',
    ]);
    expect(scale('.status.n', '.spec.n', '.metadata.x')).toEqual([
      'subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec',
      'subresources.scale.statusReplicasPath: Invalid value: ".spec.n": should be a json path under .status',
      'subresources.scale.labelSelectorPath: Invalid value: ".metadata.x": should be a json path under either .spec or .status',
    ]);
    expect(scale('spec.n', '.status.n')).toEqual([
      'subresources.scale.specReplicasPath: Invalid value: "spec.n": must be a simple json path starting with .',
    ]);
  });

  test('columns', () => {
    expect(ofVersion({ additionalPrinterColumns: [{ name: '', type: '', jsonPath: '' }] })).toEqual([
      'additionalPrinterColumns[0].name: Required value',
      'additionalPrinterColumns[0].type: Required value: must be one of boolean,date,integer,number,string',
      'additionalPrinterColumns[0].JSONPath: Required value',
    ]);
    expect(ofVersion({ additionalPrinterColumns: [{ name: 'a', type: 'x', format: 'y', jsonPath: 'z' }] })).toEqual([
      'additionalPrinterColumns[0].type: Invalid value: "x": must be one of boolean,date,integer,number,string',
      'additionalPrinterColumns[0].format: Invalid value: "y": must be one of byte,date,date-time,double,float,int32,int64,password',
      'additionalPrinterColumns[0].JSONPath: Invalid value: "z": must be a simple json path starting with .',
    ]);
  });

  test('selectable fields', () => {
    const select = (...paths: string[]): string[] =>
      ofVersion({ selectableFields: paths.map((jsonPath) => ({ jsonPath })) });
    expect(select('.spec.color')).toEqual([]);
    expect(select('', '.spec', '.spec.x', '.spec.color', '.spec.color', ".spec['color']")).toEqual([
      'selectableFields[0].jsonPath: Required value',
      'selectableFields[1].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
      'selectableFields[2].jsonPath: Invalid value: ".spec.x": is an invalid path: does not refer to a valid field',
      'selectableFields[4].jsonPath: Duplicate value: ".spec.color"',
      'selectableFields[5].jsonPath: Invalid value: ".spec[\'color\']": is an invalid path: array notation is not allowed',
    ]);
    const names = Array.from({ length: 9 }, (_, i) => `f${i}`);
    const properties = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
    const selectableFields = names.map((name) => ({ jsonPath: `.${name}` }));
    const wide = { schema: { openAPIV3Schema: { type: 'object', properties } }, selectableFields };
    expect(ofVersion(wide)).toEqual(['selectableFields: Too many: 9: must have at most 8 items']);
    const crd = definition({ versions: [{ ...V1, ...wide }] });
    expect(validateDefinitionUpdate(crd, crd, TOOLS)).toEqual([]);
  });

  test('with a status subresource the root says nothing that ties status to the rest', () => {
    const root = (more: object): string[] =>
      ofVersion({
        subresources: { status: {} },
        schema: { openAPIV3Schema: { ...V1.schema?.openAPIV3Schema, ...more } },
      });
    expect(root({ required: ['spec'], description: 'd', 'x-kubernetes-validations': [{ rule: 'true' }] })).toEqual([]);
    expect(root({ maxProperties: 3 })[0]).toMatch(
      /^schema.openAPIV3Schema: Invalid value: \{.*\}: only \[Description Type Format .* XValidations\] fields are allowed at the root of the schema if the status subresource is enabled$/,
    );
  });

  test('rules are checked once the schema is sound', () => {
    const properties = { spec: { type: 'string', 'x-kubernetes-validations': [{ rule: 'x' }] } };
    const versions = [{ ...V1, schema: { openAPIV3Schema: { type: 'object', properties } } }];
    const checkRules: DefinitionTools['checkRules'] = (_s, path) => [
      { type: 'Invalid', field: path, value: 'x', detail: 'undeclared' },
    ];
    expect(errorTexts(validateDefinition(definition({ versions }), { ...TOOLS, checkRules }))).toEqual([
      'spec.versions[0].schema.openAPIV3Schema: Invalid value: "x": undeclared',
    ]);
  });
});

describe('validateDefinition: conversion', () => {
  const convert = (conversion: CustomResourceConversion): string[] =>
    errorsOf({ conversion }).map((text) => text.replace('spec.conversion.', ''));
  const webhook = (clientConfig: object, conversionReviewVersions = ['v1']): string[] =>
    convert({ strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions } });

  test('strategies', () => {
    expect(convert({ strategy: '' })).toEqual(['strategy: Required value']);
    expect(convert({ strategy: 'Magic' })).toEqual([
      'strategy: Unsupported value: "Magic": supported values: "None", "Webhook"',
    ]);
    expect(convert({ strategy: 'None', webhook: { clientConfig: {}, conversionReviewVersions: ['v1'] } })).toEqual([
      'webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook',
      'conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook',
    ]);
    expect(convert({ strategy: 'Webhook' })).toEqual([
      'webhookClientConfig: Required value: required when strategy is set to Webhook',
      'conversionReviewVersions: Required value',
    ]);
  });

  test('addresses', () => {
    expect(webhook({})).toEqual(['webhookClientConfig: Required value: exactly one of url or service is required']);
    expect(webhook({ url: 'https://example.com/convert' })).toEqual([]);
    expect(webhook({ url: 'http://u:p@/?q#f' })).toEqual([
      'webhookClientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: https://host[/path]',
      'webhookClientConfig.url: Invalid value: "": host must be provided; desired format: https://host[/path]',
      'webhookClientConfig.url: Invalid value: "u:p": user information is not permitted in the URL',
      'webhookClientConfig.url: Invalid value: "f": fragments are not permitted in the URL',
      'webhookClientConfig.url: Invalid value: "q": query parameters are not permitted in the URL',
    ]);
    expect(webhook({ service: { name: 'a', namespace: 'b', path: '/x', port: 8443 } })).toEqual([]);
    expect(webhook({ service: { name: '', namespace: '', path: 'x//', port: 0 } })).toEqual([
      'webhookClientConfig.service.name: Required value: service name is required',
      'webhookClientConfig.service.namespace: Required value: service namespace is required',
      'webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive',
      'webhookClientConfig.service.path: Invalid value: "x//": must start with a \'/\'',
      'webhookClientConfig.service.path: Invalid value: "x//": segment[0] may not be empty',
      'webhookClientConfig.service.path: Invalid value: "x//": segment[1] may not be empty',
    ]);
  });

  test('review versions', () => {
    expect(webhook({ url: 'https://a' }, ['v7', 'v7', 'V8']).map((text) => text.slice(0, 80))).toEqual([
      'conversionReviewVersions[1]: Invalid value: "v7": duplicate version',
      expect.stringContaining('conversionReviewVersions[2]: Invalid value: "V8": a DNS-1035 label'),
      expect.stringContaining('conversionReviewVersions: Invalid value: ["v7","v7","V8"]: must include at least'),
    ]);
  });
});

describe('validateDefinitionUpdate', () => {
  const established = (spec: Partial<CustomResourceDefinitionSpec>): CustomResourceDefinition => {
    const crd = definition(spec);
    const conditions = [{ type: 'Established', status: 'True' }];
    return {
      ...crd,
      status: { acceptedNames: { plural: '', kind: '' }, storedVersions: ['v1'], ...crd.status, conditions },
    };
  };

  test('group and plural never change, scope and kind not once established', () => {
    const other = { group: 'b.com', scope: 'Cluster', names: { plural: 'gadgets', kind: 'Gadget' } };
    const fields = (previous: CustomResourceDefinition): string[] =>
      validateDefinitionUpdate({ ...established(other) }, previous, TOOLS).map((e) => `${e.field}: ${e.detail}`);
    expect(fields(definition())).toEqual(['spec.group: field is immutable', 'spec.names.plural: field is immutable']);
    expect(fields(established({}))).toEqual([
      'spec.scope: field is immutable',
      'spec.names.kind: field is immutable',
      'spec.group: field is immutable',
      'spec.names.plural: field is immutable',
    ]);
  });

  test('defaults with unknown fields may stay where they were', () => {
    const schema = { type: 'object', properties: { a: { type: 'object', default: { odd: 1 } } } };
    const old = definition({ versions: [{ ...V1, schema: { openAPIV3Schema: schema } }] });
    expect(errorTexts(validateDefinition(old, TOOLS))).toEqual([
      'spec.versions[0].schema.openAPIV3Schema.properties[a].default: Invalid value: {"odd":1}: must not have unknown fields',
    ]);
    expect(validateDefinitionUpdate(old, old, TOOLS)).toEqual([]);
  });

  test('a bad CA bundle counts once established', () => {
    const conversion = (caBundle: string): Partial<CustomResourceDefinitionSpec> => ({
      conversion: {
        strategy: 'Webhook',
        webhook: { clientConfig: { url: 'https://a', caBundle }, conversionReviewVersions: ['v1'] },
      },
    });
    const bad = Buffer.from('nothing').toString('base64');
    const good = Buffer.from('-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----').toString('base64');
    expect(validateDefinition(definition(conversion(bad)), TOOLS)).toEqual([]);
    expect(validateDefinitionUpdate(established(conversion(bad)), established(conversion(bad)), TOOLS)).toEqual([]);
    expect(
      errorTexts(validateDefinitionUpdate(established(conversion(bad)), established(conversion(good)), TOOLS)),
    ).toEqual([
      `spec.conversion.webhookClientConfig.caBundle: Invalid value: "${bad}": unable to load root certificates: unable to parse bytes as PEM block`,
    ]);
  });
});
