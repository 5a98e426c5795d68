/**
 * The string formats that CustomResourceDefinitions support; any other name is no restriction.
 * Every check takes time linear in the text (or refuses long texts first): texts come from users.
 * Source: apiextensions-apiserver pkg/apiserver/validation/formats.go; k8s.io/kube-openapi/pkg/validation/strfmt.
 */
import { isIpv4, isIpv6 } from '../../validation/names.ts';
import { FormatError, parseGoDuration } from '../../well-known.ts';
import { isEmail, isHostname, isRequestUri } from './address-formats.ts';

export type Format = (text: string) => boolean;

/** No duration, number or colour is longer. */
const TEXT_LENGTH_MAX = 1000;

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const UUID3 = /^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const UUID4 = /^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i;
const UUID5 = /^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i;
const SHORT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LONG_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const COLOR_PART = String.raw`\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*`;
const RGB_COLOR = new RegExp(`^rgb\\(${COLOR_PART},${COLOR_PART},${COLOR_PART}\\)$`);
const CREDIT_CARD =
  /^(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11})$/;

/** By name without hyphens: `date-time` and `datetime` are one. */
const FORMATS: ReadonlyMap<string, Format> = new Map(
  Object.entries<Format>({
    bsonobjectid: (t) => /^[0-9a-f]{24}$/i.test(t),
    uri: isRequestUri,
    email: isEmail,
    hostname: isHostname,
    ipv4: isIpv4Format,
    ipv6: isIpv6,
    cidr: isCidrFormat,
    mac: isMac,
    uuid: (t) => UUID.test(t),
    uuid3: (t) => UUID3.test(t),
    uuid4: (t) => UUID4.test(t),
    uuid5: (t) => UUID5.test(t),
    isbn: (t) => isIsbn10(t) || isIsbn13(t),
    isbn10: isIsbn10,
    isbn13: isIsbn13,
    creditcard: isCreditCard,
    ssn: (t) => t.length === 11 && /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(t),
    hexcolor: (t) => /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.test(t),
    rgbcolor: (t) => t.length <= TEXT_LENGTH_MAX && RGB_COLOR.test(t),
    byte: isBase64,
    password: () => true,
    date: isDate,
    datetime: isDateTime,
    duration: isDuration,
    k8sshortname: (t) => t.length <= 63 && SHORT_NAME.test(t),
    k8slongname: (t) => t.length <= 253 && LONG_NAME.test(t),
  }),
);

/** undefined: not a format that restricts. */
export function formatOf(name: string): Format | undefined {
  return FORMATS.get(name.replaceAll('-', ''));
}

/** Leading zeros are let through, as before Go 1.17; so are IPv4 addresses written as IPv6. */
function isIpv4Format(text: string): boolean {
  return text.includes('.') && isIpLoose(text);
}

function isIpLoose(text: string): boolean {
  if (text.length > TEXT_LENGTH_MAX) return false;
  const start = text.lastIndexOf(':') + 1;
  const dotted = text.slice(start);
  const plain = dotted.includes('.') ? text.slice(0, start) + dotted.replace(/(^|\.)0+(?=\d)/g, '$1') : text;
  return isIpv4(plain) || isIpv6(plain);
}

function isCidrFormat(text: string): boolean {
  const m = /^([^/]+)\/0*(\d{1,3})$/.exec(text.slice(0, TEXT_LENGTH_MAX));
  const address = m?.[1] ?? '';
  return isIpLoose(address) && Number(m?.[2]) <= (address.includes(':') ? 128 : 32);
}

/** 6, 8 or 20 octets, as pairs (`:` or `-`) or in fours (`.`). */
function isMac(text: string): boolean {
  if (text.length > TEXT_LENGTH_MAX) return false;
  const separator = [':', '-', '.'].find((c) => text.includes(c));
  if (separator === undefined) return false;
  const parts = text.split(separator);
  const digits = separator === '.' ? 4 : 2;
  return (
    parts.every((p) => p.length === digits && /^[0-9a-f]+$/i.test(p)) &&
    [6, 8, 20].includes((parts.length * digits) / 2)
  );
}

function isIsbn10(text: string): boolean {
  const bare = text.replace(/[\s-]/g, '');
  if (!/^\d{9}[\dX]$/.test(bare)) return false;
  let sum = 0;
  for (let i = 0; i < 10; i++) sum += (i + 1) * (bare[i] === 'X' ? 10 : Number(bare[i]));
  return sum % 11 === 0;
}

function isIsbn13(text: string): boolean {
  const bare = text.replace(/[\s-]/g, '');
  if (!/^\d{13}$/.test(bare)) return false;
  let sum = 0;
  for (let i = 0; i < 13; i++) sum += Number(bare[i]) * (i % 2 === 0 ? 1 : 3);
  return sum % 10 === 0;
}

/** A known issuer's form, and the Luhn sum. */
function isCreditCard(text: string): boolean {
  const digits = text.replace(/\D/g, '');
  if (!CREDIT_CARD.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    sum += i % 2 === 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2;
  }
  return sum % 10 === 0;
}

/** Standard base64 with padding, of at least one byte. */
function isBase64(text: string): boolean {
  return text.length > 0 && text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}

function isDate(text: string): boolean {
  const m = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (m === null) return false;
  const [year, month, day] = [Number(m[1]), Number(m[2]), Number(m[3])];
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
  return days !== undefined && day >= 1 && day <= days;
}

function isDateTime(text: string): boolean {
  const [date, time] = text.toLowerCase().split('t', 2);
  const m = /^(\d{2}):(\d{2}):(\d{2})(.\d+)?(z|[+-]\d{2}:\d{2})$/.exec(time ?? '');
  if (m === null || !isDate(date ?? '')) return false;
  return Number(m[1]) <= 23 && Number(m[2]) <= 59 && Number(m[3]) <= 59;
}

const SHORT_UNITS = new Set('ns us µs ms s m h hr d w wk'.split(' '));
/** Any word that begins so: nanoseconds, seconds, weeks. */
const LONG_UNITS = ['nano', 'micro', 'milli', 'sec', 'min', 'hour', 'day', 'week'];

/** Go's form (`1h30m`), or anywhere in the text a number and a unit as Scala writes them (`2 weeks`). */
function isDuration(text: string): boolean {
  if (text.length > TEXT_LENGTH_MAX) return false;
  if (isGoDuration(text)) return true;
  let isFound = false;
  for (const m of text.matchAll(/(\d+)\s*([A-Za-zµ]+)/g)) {
    if (BigInt(m[1] ?? '') >= 2n ** 63n) return false;
    const unit = (m[2] ?? '').toLowerCase();
    if (SHORT_UNITS.has(unit) || LONG_UNITS.some((u) => unit.startsWith(u))) isFound = true;
  }
  return isFound;
}

function isGoDuration(text: string): boolean {
  try {
    return parseGoDuration(text) <= 2n ** 63n - 1n;
  } catch (e) {
    if (e instanceof FormatError) return false;
    throw e;
  }
}
