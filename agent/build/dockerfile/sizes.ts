/** Sizes as Docker's tools write them: `64m`, `1.5GiB`, `1024`; all powers of 1024. Source: docker/go-units RAMInBytes. Pure. */

const UNITS = 'kmgtp';

/** Undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text) ?? [];
  if (number === undefined) return undefined;
  const bytes = Number(number) * 1024 ** (unit === '' ? 0 : UNITS.indexOf(unit.toLowerCase()) + 1);
  return bytes > Number.MAX_SAFE_INTEGER ? undefined : Math.floor(bytes);
}
