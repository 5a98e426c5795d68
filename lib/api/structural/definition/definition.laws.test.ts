import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CustomResourceDefinition } from '../../gen/types/apiextensions-v1.ts';
import { decodeType } from '../../schema.ts';
import { arbitraryObject } from '../../testing/arbitrary.ts';
import { arbitraryRoot } from '../testing/arbitrary-schema.ts';
import { errorTexts } from '../testing/schemas.ts';
import { type DefinitionTools, validateDefinition, validateDefinitionUpdate } from './definition.ts';
import { applyDefinitionDefaults } from './definition-defaults.ts';

const TOOLS: DefinitionTools = { checkRules: () => [], validateRules: () => [] };
const TYPE = 'apiextensions/v1.CustomResourceDefinition';

function decode(value: unknown): CustomResourceDefinition {
  return applyDefinitionDefaults(decodeType(TYPE, value).object as CustomResourceDefinition);
}

describe('validateDefinition of decoded bodies', () => {
  test('an empty one', () => {
    expect(errorTexts(validateDefinition(decode({}), TOOLS))).toEqual([
      'spec.group: Required value',
      'spec.scope: Required value',
      'spec.versions: Invalid value: []: must have exactly one version marked as storage version',
      'spec.names.plural: Required value',
      'spec.names.singular: Required value',
      'spec.names.kind: Required value',
      'spec.names.listKind: Required value',
      'status.storedVersions: Invalid value: []: must have at least one stored version',
    ]);
  });

  test('one as kubectl sends it', () => {
    const crd = decode({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'crontabs.stable.example.com' },
      spec: {
        group: 'stable.example.com',
        scope: 'Namespaced',
        names: { plural: 'crontabs', singular: 'crontab', kind: 'CronTab', shortNames: ['ct'] },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: {
                  spec: {
                    type: 'object',
                    required: ['image'],
                    properties: {
                      cronSpec: { type: 'string', pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$' },
                      image: { type: 'string' },
                      replicas: { type: 'integer', minimum: 1, maximum: 10, default: 1 },
                      port: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
                    },
                  },
                  status: {
                    type: 'object',
                    properties: { replicas: { type: 'integer' }, selector: { type: 'string' } },
                  },
                },
              },
            },
            subresources: {
              status: {},
              scale: {
                specReplicasPath: '.spec.replicas',
                statusReplicasPath: '.status.replicas',
                labelSelectorPath: '.status.selector',
              },
            },
            additionalPrinterColumns: [{ name: 'Spec', type: 'string', jsonPath: '.spec.cronSpec' }],
            selectableFields: [{ jsonPath: '.spec.image' }],
          },
        ],
      },
    });
    expect(errorTexts(validateDefinition(crd, TOOLS))).toEqual([]);
    expect(validateDefinitionUpdate(crd, crd, TOOLS)).toEqual([]);
  });

  test('no body makes it throw', () => {
    fc.assert(
      fc.property(arbitraryObject(TYPE, 9), arbitraryObject(TYPE, 9), (a, b) => {
        const [next, previous] = [decode(a), decode(b)];
        validateDefinition(next, TOOLS);
        validateDefinitionUpdate(next, previous, TOOLS);
      }),
      { numRuns: 300 },
    );
  });

  test('every schema that the laws use passes, but for its defaults', () => {
    fc.assert(
      fc.property(arbitraryRoot, (root) => {
        const spec = {
          group: 'example.com',
          scope: 'Cluster',
          names: { plural: 'widgets', kind: 'Widget' },
          versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: root } }],
        };
        const errors = validateDefinition(decode({ spec }), TOOLS);
        expect(errors.filter((e) => !e.field.includes('default'))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});
