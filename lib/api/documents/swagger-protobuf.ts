/**
 * The OpenAPI v2 document in gnostic's protobuf, which client-go's OpenAPISchema() insists on (older kubectl, Terraform and
 * other tools; kubectl of today for kinds that v3 does not have).
 *
 * Idea: a message is a table from JSON keys to field numbers and ways to write; what gnostic wraps (a list of types, a map as
 * a list of named values, any value as YAML, of which JSON is a part) is a function on such a way. Keys that gnostic has no
 * field for and that are no extensions (x-…) are left out, as gnostic's own compiler would refuse them.
 * Source: github.com/google/gnostic openapiv2/OpenAPIv2.proto; k8s.io/kube-openapi/pkg/util/proto/document.go is a reader.
 */
import { isObject } from '../patch/value.ts';
import { BackWriter, BYTES, FIXED64, VARINT } from '../protobuf-wire.ts';

export const SWAGGER_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** What clients ask for; no media type, since @ may not stand in one, so the answer bears the other name. */
export const SWAGGER_PROTOBUF_ASKED = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

/** The protobuf form of a v2 document as JSON. */
export function swaggerProtobufOf(v2: Buffer): Buffer {
  const w = new BackWriter();
  const document: unknown = JSON.parse(v2.toString());
  fieldsOf(DOCUMENT)(w, document);
  return Buffer.from(w.finish());
}

/** Writes a value as field `number`; writes nothing where the value is not of that form. */
type Part = (w: BackWriter, number: number, value: unknown) => void;
/** Writes the content of a message, without a tag. */
type Content = (w: BackWriter, value: unknown) => void;

interface Message {
  readonly fields: Readonly<Record<string, readonly [number: number, part: Part]>>;
  /** Field of the extensions (x-…), if there is one. */
  readonly extensions?: number;
}

const text: Part = (w, number, value) => {
  if (typeof value !== 'string') return;
  w.text(value);
  w.tag(number, BYTES);
};
const bool: Part = (w, number, value) => {
  if (value !== true) return;
  w.varint(1);
  w.tag(number, VARINT);
};
const integer: Part = (w, number, value) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return;
  w.varint(value);
  w.tag(number, VARINT);
};
const double: Part = (w, number, value) => {
  if (typeof value !== 'number') return;
  w.double(value);
  w.tag(number, FIXED64);
};

/** gnostic's Any: the value as YAML. */
const any: Part = nested((w, value) => text(w, 2, JSON.stringify(value)));

function nested(content: Content): Part {
  return (w, number, value) => {
    const before = w.length;
    content(w, value);
    w.varint(w.length - before);
    w.tag(number, BYTES);
  };
}

/** A message of one field around the value. */
function inside(number: number, part: Part): Part {
  return nested((w, value) => part(w, number, value));
}

function list(part: Part): Part {
  return (w, number, value) => {
    if (Array.isArray(value)) for (const item of value.toReversed()) part(w, number, item);
  };
}

/** A map: a message with a repeated field of names (1) and values (2). */
function named(part: Part, entries = 1): Part {
  return nested((w, value) => {
    if (!isObject(value)) return;
    for (const [name, item] of Object.entries(value).reverse())
      nested(() => {
        part(w, 2, item);
        text(w, 1, name);
      })(w, entries, item);
  });
}

function fieldsOf(message: Message): Content {
  return (w, value) => {
    if (!isObject(value)) return;
    for (const [key, item] of Object.entries(value).reverse()) {
      const field = Object.hasOwn(message.fields, key) ? message.fields[key] : undefined;
      if (field !== undefined) field[1](w, field[0], item);
      else if (key.startsWith('x-') && message.extensions !== undefined)
        nested(() => {
          any(w, 2, item);
          text(w, 1, key);
        })(w, message.extensions, item);
    }
  };
}

/** A message; undefined and other non-objects are not written. */
function message(of: () => Message): Part {
  return (w, number, value) => {
    if (isObject(value)) nested(fieldsOf(of()))(w, number, value);
  };
}

const schema = message(() => SCHEMA);

/** AdditionalPropertiesItem: a schema (1), or true or false (2), of which false too is written. */
function additional(w: BackWriter, value: unknown): void {
  if (typeof value !== 'boolean') {
    schema(w, 1, value);
    return;
  }
  w.varint(value ? 1 : 0);
  w.tag(2, VARINT);
}

const SCHEMA: Message = {
  fields: {
    $ref: [1, text],
    format: [2, text],
    title: [3, text],
    description: [4, text],
    default: [5, any],
    multipleOf: [6, double],
    maximum: [7, double],
    exclusiveMaximum: [8, bool],
    minimum: [9, double],
    exclusiveMinimum: [10, bool],
    maxLength: [11, integer],
    minLength: [12, integer],
    pattern: [13, text],
    maxItems: [14, integer],
    minItems: [15, integer],
    uniqueItems: [16, bool],
    maxProperties: [17, integer],
    minProperties: [18, integer],
    required: [19, list(text)],
    enum: [20, list(any)],
    additionalProperties: [21, nested(additional)],
    type: [22, inside(1, text)],
    items: [23, inside(1, schema)],
    allOf: [24, list(schema)],
    properties: [25, named(schema)],
    example: [30, any],
  },
  extensions: 31,
};

const BODY: Message = {
  fields: { description: [1, text], name: [2, text], in: [3, text], required: [4, bool], schema: [5, schema] },
  extensions: 6,
};
const PATH: Message = {
  fields: {
    required: [1, bool],
    in: [2, text],
    description: [3, text],
    name: [4, text],
    type: [5, text],
    format: [6, text],
    uniqueItems: [19, bool],
  },
};
const QUERY: Message = {
  fields: { ...PATH.fields, type: [6, text], format: [7, text], uniqueItems: [20, bool] },
};

/** ParametersItem > Parameter > BodyParameter (1), or NonBodyParameter (2) of the query (3) or the path (4). */
const parameter: Part = inside(
  1,
  nested((w, value) => {
    const where = isObject(value) ? value['in'] : undefined;
    if (where === 'body') message(() => BODY)(w, 1, value);
    else if (where === 'query')
      inside(
        3,
        message(() => QUERY),
      )(w, 2, value);
    else if (where === 'path')
      inside(
        4,
        message(() => PATH),
      )(w, 2, value);
  }),
);

const RESPONSE: Message = { fields: { description: [1, text], schema: [2, inside(1, schema)] } };
const OPERATION: Message = {
  fields: {
    tags: [1, list(text)],
    description: [3, text],
    operationId: [5, text],
    produces: [6, list(text)],
    consumes: [7, list(text)],
    parameters: [8, list(parameter)],
    responses: [
      9,
      named(
        inside(
          1,
          message(() => RESPONSE),
        ),
      ),
    ],
    schemes: [10, list(text)],
    deprecated: [11, bool],
  },
  extensions: 13,
};
const operation = message(() => OPERATION);
const PATH_ITEM: Message = {
  fields: {
    get: [2, operation],
    put: [3, operation],
    post: [4, operation],
    delete: [5, operation],
    options: [6, operation],
    head: [7, operation],
    patch: [8, operation],
    parameters: [9, list(parameter)],
  },
};
const SECURITY: Message = { fields: { type: [1, text], name: [2, text], in: [3, text], description: [4, text] } };
const INFO: Message = { fields: { title: [1, text], version: [2, text], description: [3, text] } };
const DOCUMENT: Message = {
  fields: {
    swagger: [1, text],
    info: [2, message(() => INFO)],
    paths: [
      8,
      named(
        message(() => PATH_ITEM),
        2,
      ),
    ],
    definitions: [9, named(schema)],
    security: [12, list(named(inside(1, list(text))))],
    securityDefinitions: [
      13,
      named(
        inside(
          2,
          message(() => SECURITY),
        ),
      ),
    ],
  },
};
