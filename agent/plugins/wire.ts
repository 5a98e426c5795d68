/** Words for tables of message types, from which a plugin protocol's calls are made: field names and numbers are the protocol. */
import { fromJSON } from '@grpc/proto-loader';

export const text = (id: number): object => ({ type: 'string', id });
export const bool = (id: number): object => ({ type: 'bool', id });
export const int32 = (id: number): object => ({ type: 'int32', id });
export const int64 = (id: number): object => ({ type: 'int64', id });
export const texts = (id: number): object => ({ rule: 'repeated', type: 'string', id });
export const message = (type: string, id: number): object => ({ type, id });
export const messages = (type: string, id: number): object => ({ rule: 'repeated', type, id });
export const textMap = (id: number): object => ({ keyType: 'string', type: 'string', id });
export const fields = (o: Readonly<Record<string, object>>): object => ({ fields: o });
/** `Name`: NameRequest -> NameResponse. */
export const method = (name: string): object => ({ requestType: `${name}Request`, responseType: `${name}Response` });

/** The services of a package, as grpc-js takes them. Sizes are below 2^53. */
export function servicesOf(packageName: string, nested: Readonly<Record<string, object>>): Record<string, unknown> {
  const whole = packageName
    .split('.')
    .reverse()
    .reduce<object>((inner, name) => ({ nested: { [name]: inner } }), { nested });
  const json = (whole as { nested: object }).nested;
  return fromJSON({ nested: json } as Parameters<typeof fromJSON>[0], {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    arrays: true,
    objects: true,
  });
}
