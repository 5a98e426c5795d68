/** Versions by semver.org 2.0.0 (apiserver/pkg/cel/library/semverlib.go). */
import { OpaqueValue } from './value.ts';

export const SEMVER_TYPE = 'kubernetes.Semver';
const NUMBER = '(0|[1-9]\\d{0,18})';
const IDENTIFIERS = '[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*';
const FORM = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-(${IDENTIFIERS}))?(?:\\+(${IDENTIFIERS}))?$`);
const TEXT_LENGTH_MAX = 1000;

export class Semver extends OpaqueValue {
  readonly typeName = SEMVER_TYPE;
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  private readonly prerelease: readonly string[];
  private readonly build: string;
  constructor(numbers: readonly [bigint, bigint, bigint], prerelease: readonly string[], build: string) {
    super();
    [this.major, this.minor, this.patch] = numbers;
    this.prerelease = prerelease;
    this.build = build;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof Semver && this.compare(other) === 0;
  }
  override toString(): string {
    const pre = this.prerelease.length === 0 ? '' : `-${this.prerelease.join('.')}`;
    return `${this.major}.${this.minor}.${this.patch}${pre}${this.build === '' ? '' : `+${this.build}`}`;
  }
  /** Build metadata does not count. */
  compare(other: Semver): number {
    for (const key of ['major', 'minor', 'patch'] as const)
      if (this[key] !== other[key]) return this[key] < other[key] ? -1 : 1;
    return comparePrerelease(this.prerelease, other.prerelease);
  }
}

function comparePrerelease(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return a.length === b.length ? 0 : a.length === 0 ? 1 : -1;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x = '', y = ''] = [a[i], b[i]];
    if (x === y) continue;
    const [xn, yn] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (xn && yn) return BigInt(x) < BigInt(y) ? -1 : 1;
    if (xn !== yn) return xn ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return Math.sign(a.length - b.length);
}

/** `normalize` takes a leading `v`, fewer than three numbers and leading zeros. */
export function parseSemver(text: string, normalize: boolean): Semver | { readonly message: string } {
  if (text.length > TEXT_LENGTH_MAX) return { message: 'Version string too long' };
  const normal = normalize ? normalized(text) : text;
  const m = normal === undefined ? null : FORM.exec(normal);
  const prerelease = m?.[4]?.split('.') ?? [];
  if (m === null || prerelease.some((p) => /^0\d+$/.test(p))) return { message: problem(text) };
  const [major, minor, patch] = [m[1], m[2], m[3]].map((n) => BigInt(n ?? '0'));
  return new Semver([major ?? 0n, minor ?? 0n, patch ?? 0n], prerelease, m[5] ?? '');
}

function problem(text: string): string {
  if (text === '') return 'Version string empty';
  if (text.split('.').length < 3) return 'No Major.Minor.Patch elements found';
  return `Invalid character(s) found in version ${JSON.stringify(text)}`;
}

function normalized(text: string): string | undefined {
  const m = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?((?:[-+].*)?)$/.exec(text);
  if (m === null) return undefined;
  // Short versions take no pre-release: `1.2-alpha` is no version.
  if (m[3] === undefined && m[4] !== '') return undefined;
  const numbers = [m[1], m[2] ?? '0', m[3] ?? '0'].map((n) => (n ?? '0').replace(/^0+(?=\d)/, ''));
  return `${numbers.join('.')}${m[4]}`;
}
