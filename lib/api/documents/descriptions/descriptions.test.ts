import { describe, expect, test } from 'vitest';
import { allKinds, schemaOf } from '../../registry.ts';
import { allPackages, isStructType, type TypeName, type TypeRef, typeOf } from '../../type-table.ts';
import { DESCRIBED, loadDescriptions } from './index.ts';

const descriptions = loadDescriptions();

/** All struct types that objects of the served kinds, and of those named, are made of. */
function reachable(): ReadonlySet<TypeName> {
  const roots = ['Status', 'DeleteOptions', 'WatchEvent'].map((kind) => `meta/v1.${kind}`);
  for (const kind of allKinds()) {
    roots.push(kind.schema);
    const list = schemaOf(kind.group === '' ? kind.version : `${kind.group}/${kind.version}`, `${kind.kind}List`);
    if (list !== undefined) roots.push(list);
    for (const s of kind.subresources) {
      const schema = schemaOf(s.group === '' ? s.version : `${s.group}/${s.version}`, s.kind);
      if (schema !== undefined) roots.push(schema);
    }
  }
  const seen = new Set(roots);
  const visit = (type: TypeRef): void => {
    if (type.k === 'list' || type.k === 'map') visit(type.of);
    else if (type.k === 'struct') seen.add(type.name);
  };
  for (const name of seen) for (const field of typeOf(name).fields) visit(field.type);
  return seen;
}

describe('descriptions', () => {
  test('every type and field described is in the type table', () => {
    const strangers: string[] = [];
    for (const [pkg, parts] of Object.entries(DESCRIBED)) {
      expect(allPackages()).toContain(pkg);
      const types = parts.flatMap((part) => Object.entries(part()));
      const names = types.map(([name]) => name);
      expect(new Set(names).size, `types of ${pkg} described twice`).toBe(names.length);
      for (const [type, texts] of types) {
        const name = `${pkg}.${type}`;
        if (!isStructType(name)) strangers.push(name);
        else {
          const own = new Set(typeOf(name).own.map((f) => f.name));
          strangers.push(...Object.keys(texts).flatMap((f) => (f === '' || own.has(f) ? [] : [`${name}.${f}`])));
        }
      }
    }
    expect(strangers).toEqual([]);
  });

  test('every type that a served kind is made of has a description, and every field of it', () => {
    const missing: string[] = [];
    for (const name of reachable()) {
      if (descriptions.ofType(name) === undefined) missing.push(name);
      for (const field of typeOf(name).fields)
        if (descriptions.ofField(name, field.name) === undefined) missing.push(`${name}.${field.name}`);
    }
    expect(reachable().size).toBeGreaterThan(500);
    expect(missing).toEqual([]);
  });

  test('texts are sentences of a size for a terminal', () => {
    for (const parts of Object.values(DESCRIBED))
      for (const part of parts)
        for (const [type, texts] of Object.entries(part()))
          for (const [field, text] of Object.entries(texts)) {
            expect(text, `${type}.${field}`).toMatch(/^[A-Z`0].*\.$/);
            expect(text.length, `${type}.${field}`).toBeLessThan(260);
          }
  });

  test('a field of an embedded struct is described by that struct, unless the type says something else', () => {
    expect(descriptions.ofField('core/v1.Volume', 'emptyDir')).toBe(
      descriptions.ofField('core/v1.VolumeSource', 'emptyDir'),
    );
    expect(descriptions.ofField('core/v1.EphemeralContainer', 'ports')).not.toBe(
      descriptions.ofField('core/v1.Container', 'ports'),
    );
    expect(descriptions.ofField('core/v1.Pod', 'kind')).toBe(descriptions.ofField('meta/v1.TypeMeta', 'kind'));
    expect(descriptions.ofType('core/v1.PodList')).toBe('A list of objects of kind Pod.');
    expect(descriptions.ofField('core/v1.Pod', 'constructor')).toBeUndefined();
    expect(descriptions.ofType('core/v1.NoSuchType')).toBeUndefined();
  });
});
