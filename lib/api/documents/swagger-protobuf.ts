/**
 * The head of the OpenAPI v2 document (swagger, info) in gnostic's protobuf, without paths and definitions.
 *
 * kubectl takes schemas from v3. It asks for this form only about kinds that v3 does not have (`kind: List`, a misspelt
 * kind, a kind of an extension) and skips its own check when the kind is not here either; without an answer it would stop
 * with "failed to download openapi" instead of its message about the kind.
 * Source: github.com/google/gnostic openapiv2/OpenAPIv2.proto (Document 1 swagger, 2 info; Info 1 title, 2 version);
 * k8s.io/kubectl/pkg/validation/schema.go.
 */
export const SWAGGER_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** What kubectl asks for; no media type, since @ may not stand in one, so the answer bears the other name. */
export const SWAGGER_PROTOBUF_ASKED = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

const LENGTH_MAX = 127;

export function swaggerHeadProtobuf(title: string, version: string): Buffer {
  const info = Buffer.concat([field(1, Buffer.from(title)), field(2, Buffer.from(version))]);
  return Buffer.concat([field(1, Buffer.from('2.0')), field(2, info)]);
}

/** Length-delimited (wire type 2); lengths here fit one byte. */
function field(number: number, payload: Buffer): Buffer {
  if (payload.length > LENGTH_MAX) throw new RangeError(`a field of ${payload.length} bytes; at most ${LENGTH_MAX}`);
  return Buffer.concat([Buffer.from([(number << 3) | 2, payload.length]), payload]);
}
