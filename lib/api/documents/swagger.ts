/**
 * OpenAPI v2 (Swagger 2.0) from a v3 document: the same schemas and operations in the older notation, for clients that
 * know only /openapi/v2.
 * Source: github.com/OAI/OpenAPI-Specification versions/2.0.md; k8s.io/kube-openapi/pkg/schemaconv is the other direction.
 */
import { isObject } from '../patch/value.ts';
import type { Schema } from './schemas.ts';

const REF = '#/components/schemas/';

/**
 * The v2 form of a v3 document as documents/openapi.ts makes them. `custom`: the definitions of custom kinds, whose schemas lose
 * more on the way than these rules know of.
 */
export function swaggerOf(v3: Schema, custom: Schema = {}): object {
  const components = asObject(v3['components']);
  const schemas = asObject(components['schemas']);
  return {
    swagger: '2.0',
    info: v3['info'],
    paths: mapValues(asObject(v3['paths']), pathItem),
    definitions: { ...mapValues(schemas, schema), ...custom },
    securityDefinitions: components['securitySchemes'],
    security: [{ BearerToken: [] }],
  };
}

function asObject(value: unknown): Schema {
  return isObject(value) ? value : {};
}

function mapValues(o: Schema, fn: (value: unknown) => unknown): Schema {
  return Object.fromEntries(Object.entries(o).map(([key, value]) => [key, fn(value)]));
}

/**
 * Refs move to #/definitions, an allOf of one becomes its ref, oneOf becomes the string form (Quantity, IntOrString), and
 * there are no defaults, as in the published v2 document.
 */
function schema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(schema);
  if (!isObject(value)) return value;
  const { $ref: ref, allOf, oneOf, default: _default, ...rest } = value;
  if (typeof ref === 'string') return { ...rest, $ref: ref.replace(REF, '#/definitions/') };
  if (Array.isArray(allOf)) return { ...rest, ...asObject(schema(allOf[0])) };
  if (oneOf !== undefined) return { ...rest, type: 'string' };
  // Names of properties are not keywords: JSONSchemaProps has properties named $ref, allOf and oneOf.
  return Object.fromEntries(
    Object.entries(rest).map(([key, v]) => [key, key === 'properties' ? mapValues(asObject(v), schema) : schema(v)]),
  );
}

function pathItem(value: unknown): unknown {
  const item = asObject(value);
  return mapValues(item, (part) => (Array.isArray(part) ? part.map(parameter) : operation(asObject(part))));
}

function operation(o: Schema): Schema {
  const { requestBody, responses, parameters, ...rest } = o;
  const body = asObject(asObject(requestBody)['content']);
  const [first] = Object.values(body);
  const list = Array.isArray(parameters) ? parameters.map(parameter) : [];
  if (first !== undefined)
    list.push({
      name: 'body',
      in: 'body',
      required: asObject(requestBody)['required'],
      schema: schema(asObject(first)['schema']),
    });
  const answers = asObject(responses);
  return {
    ...rest,
    consumes: first === undefined ? ['*/*'] : Object.keys(body),
    produces: Object.keys(asObject(asObject(answers['200'])['content'])),
    schemes: ['https'],
    ...(list.length > 0 ? { parameters: list } : {}),
    responses: mapValues(answers, response),
  };
}

function response(value: unknown): unknown {
  const { description, content } = asObject(value);
  const [first] = Object.values(asObject(content));
  return { description, ...(first === undefined ? {} : { schema: schema(asObject(first)['schema']) }) };
}

function parameter(value: unknown): Schema {
  const { schema: type, ...rest } = asObject(value);
  return { ...rest, ...asObject(type) };
}
