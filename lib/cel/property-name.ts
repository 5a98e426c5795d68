/**
 * Names of properties as expressions write them (apiserver/pkg/cel/escaping.go): `x-y` is `self.x__dash__y`, `namespace` is
 * `self.__namespace__`. An `ObjectType` for a schema has the escaped name as key and the property's own as `jsonName`.
 */

const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** Undefined when expressions cannot name the property. */
export function escapePropertyName(name: string): string | undefined {
  if (RESERVED.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(name)) return undefined;
  return name.replace(/__|\.|-|\//g, (part) => {
    if (part === '__') return '__underscores__';
    return part === '.' ? '__dot__' : part === '-' ? '__dash__' : '__slash__';
  });
}
