import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps } from '../gen/types/apiextensions-v1.ts';
import { type CustomKind, customComponents, customKindOf } from './openapi.ts';
import { objectSchema } from './testing/schemas.ts';

const KIND: CustomKind = {
  group: 'stable.example.com',
  version: 'v1',
  kind: 'Widget',
  listKind: 'WidgetList',
  plural: 'widgets',
  selectable: ['.spec.color'],
};
const NAME = 'com.example.stable.v1.Widget';
const GVK = [{ group: 'stable.example.com', version: 'v1', kind: 'Widget' }];

function published(properties: Record<string, JSONSchemaProps>, version: 'v2' | 'v3'): Record<string, unknown> {
  const component = customComponents(KIND, objectSchema(properties), version)[NAME] as {
    properties: Record<string, unknown>;
  };
  return component.properties;
}

describe('customComponents', () => {
  test('v3: the schema as written, what every object has, and the extensions', () => {
    const spec: JSONSchemaProps = {
      type: 'object',
      description: 'what is wanted',
      properties: { color: { type: 'string', nullable: true, enum: ['red'] } },
    };
    expect(
      customComponents(KIND, objectSchema({ spec }, { description: 'a widget', required: ['spec'] }), 'v3')[NAME],
    ).toEqual({
      description: 'a widget',
      type: 'object',
      required: ['spec'],
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' },
        spec,
      },
      'x-kubernetes-group-version-kind': GVK,
      'x-kubernetes-selectable-fields': [{ fieldPath: 'spec.color' }],
    });
  });

  test('the list', () => {
    expect(customComponents(KIND, undefined, 'v2')['com.example.stable.v1.WidgetList']).toEqual({
      description: 'WidgetList is a list of Widget',
      type: 'object',
      required: ['items'],
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { $ref: '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta' },
        items: { description: 'List of widgets.', type: 'array', items: { $ref: `#/definitions/${NAME}` } },
      },
      'x-kubernetes-group-version-kind': [{ ...GVK[0], kind: 'WidgetList' }],
    });
  });

  test('a kind without schema is any object', () => {
    expect(customComponents(KIND, undefined, 'v2')[NAME]).toEqual({
      type: 'object',
      'x-kubernetes-group-version-kind': GVK,
    });
  });

  test('int-or-string is spelled out in v3', () => {
    const marked: JSONSchemaProps = { 'x-kubernetes-int-or-string': true };
    const pair = [{ type: 'integer' }, { type: 'string' }];
    const p = published({ a: marked, b: { ...marked, anyOf: [{ maximum: 1 }] }, c: { ...marked, anyOf: pair } }, 'v3');
    expect(p['a']).toEqual({ ...marked, anyOf: pair });
    expect(p['b']).toEqual({ ...marked, anyOf: [{ maximum: 1 }], allOf: [{ anyOf: pair }] });
    expect(p['c']).toEqual({ ...marked, anyOf: pair });
    expect(published({ a: marked }, 'v2')['a']).toEqual(marked);
  });

  test('v2 leaves out what it cannot say', () => {
    const p = published(
      {
        a: { type: 'string', nullable: true },
        b: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { x: { type: 'string' } } },
        c: {
          type: 'object',
          required: ['n', 'm'],
          properties: { n: { type: 'string', nullable: true }, m: { type: 'string' } },
        },
        d: { type: 'integer', allOf: [{ minimum: 1 }], not: { enum: [3] } },
      },
      'v2',
    );
    expect(p['a']).toEqual({});
    expect(p['b']).toEqual({ 'x-kubernetes-preserve-unknown-fields': true });
    expect(p['c']).toEqual({ type: 'object', required: ['m'], properties: { n: {}, m: { type: 'string' } } });
    expect(p['d']).toEqual({ type: 'integer' });
  });

  test('embedded resources have the fields of objects', () => {
    const embedded: JSONSchemaProps = {
      type: 'object',
      'x-kubernetes-embedded-resource': true,
      properties: { x: { type: 'string' } },
    };
    expect(published({ r: embedded }, 'v3')['r']).toEqual({
      ...embedded,
      properties: {
        x: { type: 'string' },
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' },
      },
      required: ['kind', 'apiVersion'],
    });
  });

  test('customKindOf finds the version', () => {
    const crd = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'widgets.stable.example.com' },
      spec: {
        group: 'stable.example.com',
        names: { plural: 'widgets', kind: 'Widget', listKind: 'WidgetList' },
        scope: 'Namespaced',
        versions: [{ name: 'v1', served: true, storage: true, selectableFields: [{ jsonPath: '.spec.color' }] }],
      },
    };
    expect(customKindOf(crd, 'v1')).toEqual(KIND);
    expect(customKindOf(crd, 'v2')).toBeUndefined();
  });
});
