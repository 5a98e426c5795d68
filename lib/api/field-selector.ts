/**
 * Field selectors (`?fieldSelector=status.phase!=Running,spec.nodeName=n1`): which fields of which kind may be selected
 * by, and how their value reads as text.
 *
 * Invariants: every kind has metadata.name and metadata.namespace; an absent field reads as the zero value of its Go type
 * ('' , 'false', '0'), so `spec.nodeName=` finds pods not bound; commas, equal signs and backslashes in values are escaped by `\`.
 * Source: k8s.io/apimachinery/pkg/fields/selector.go; kubernetes/pkg/apis/.../conversion.go, pkg/registry/.../strategy.go.
 */
import { StatusError } from '#lib/base';
import type { DeepReadonly, KindRef, KubeObject } from './object.ts';
import type { KindInfo } from './registry.ts';

export interface FieldRequirement {
  readonly path: string;
  readonly op: '=' | '!=';
  readonly value: string;
}

export interface FieldMatcher {
  matches(o: DeepReadonly<KubeObject>): boolean;
  readonly requirements: readonly FieldRequirement[];
  readonly isEmpty: boolean;
}

type Read = (o: DeepReadonly<KubeObject>) => string;

/** Parses the text and checks its paths against the kind: of a custom one its selectableFields beside name and namespace. */
export function parseFieldSelector(kind: KindRef & Pick<KindInfo, 'custom'>, text: string): FieldMatcher {
  const extra = kind.custom?.selectable ?? [];
  const requirements = fieldRequirements(text);
  const tests = requirements.map((r) => {
    const read = readerOf(kind, r.path) ?? (extra.includes(r.path) ? at(r.path, '') : undefined);
    if (read === undefined) throw unsupported(kind, r.path);
    return (o: DeepReadonly<KubeObject>) => (read(o) === r.value) === (r.op === '=');
  });
  return { requirements, isEmpty: requirements.length === 0, matches: (o) => tests.every((test) => test(o)) };
}

/** What the text asks, whatever the kind: for those who only look at it. Throws BadRequest. */
export function fieldRequirements(text: string): FieldRequirement[] {
  return splitTerms(text).map((term) => parseTerm(text, term));
}

function unsupported(kind: KindRef, path: string): StatusError {
  const text = FIELDS.has(`${kind.group}/${kind.resource}`)
    ? `field label not supported: ${path}`
    : `${JSON.stringify(path)} is not a known field selector: only "metadata.name", "metadata.namespace"`;
  return new StatusError('BadRequest', text);
}

function readerOf(kind: KindRef, path: string): Read | undefined {
  if (path === 'metadata.name') return (o) => o.metadata.name;
  if (path === 'metadata.namespace') return (o) => o.metadata.namespace ?? '';
  return FIELDS.get(`${kind.group}/${kind.resource}`)?.get(path);
}

const REPLICAS = new Map([['status.replicas', at('status.replicas', '0')]]);

/** group/resource → path → reader, beside the two of every kind. */
const FIELDS: ReadonlyMap<string, ReadonlyMap<string, Read>> = new Map([
  [
    '/pods',
    new Map<string, Read>([
      ['spec.nodeName', at('spec.nodeName', '')],
      ['spec.host', at('spec.nodeName', '')],
      ['spec.restartPolicy', at('spec.restartPolicy', '')],
      ['spec.schedulerName', at('spec.schedulerName', '')],
      ['spec.serviceAccountName', at('spec.serviceAccountName', '')],
      ['spec.hostNetwork', at('spec.hostNetwork', 'false')],
      ['status.phase', at('status.phase', '')],
      ['status.podIP', at('status.podIP', '')],
      ['status.podIPs', podIps],
      ['status.nominatedNodeName', at('status.nominatedNodeName', '')],
    ]),
  ],
  ['/nodes', new Map([['spec.unschedulable', at('spec.unschedulable', 'false')]])],
  ['/replicationcontrollers', REPLICAS],
  ['apps/replicasets', REPLICAS],
  ['batch/jobs', new Map([['status.successful', at('status.succeeded', '0')]])],
  ['/namespaces', new Map([['status.phase', at('status.phase', '')]])],
  ['/secrets', new Map([['type', at('type', '')]])],
  ['certificates.k8s.io/certificatesigningrequests', new Map([['spec.signerName', at('spec.signerName', '')]])],
  ['/events', eventFields('involvedObject', 'reportingComponent')],
  ['events.k8s.io/events', eventFields('regarding', 'reportingController')],
]);

function eventFields(subject: 'involvedObject' | 'regarding', reporter: string): ReadonlyMap<string, Read> {
  const component = subject === 'regarding' ? 'deprecatedSource.component' : 'source.component';
  const source: Read = (o) => at(component, '')(o) || at(reporter, '')(o);
  const fields = new Map<string, Read>([
    ['reason', at('reason', '')],
    ['type', at('type', '')],
    ['source', source],
    [reporter, at(reporter, '')],
  ]);
  for (const f of ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'])
    fields.set(`${subject}.${f}`, at(`${subject}.${f}`, ''));
  return fields;
}

/** Reads a dotted path; objects and absent values read as `zero`. */
function at(path: string, zero: string): Read {
  const steps = path.split('.');
  return (o) => {
    let value: unknown = o;
    for (const step of steps) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return zero;
      value = (value as Record<string, unknown>)[step];
    }
    return value === null || value === undefined || typeof value === 'object' ? zero : String(value);
  };
}

function podIps(o: DeepReadonly<KubeObject>): string {
  const { status } = o as { status?: { podIPs?: readonly { ip?: string }[] } };
  return (status?.podIPs ?? []).map((p) => p.ip ?? '').join(',');
}

/** Splits at commas that are not escaped; empty terms are dropped, as upstream does. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let term = '';
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === '\\') {
      term += c + text.charAt(i + 1);
      i++;
    } else if (c === ',') {
      terms.push(term);
      term = '';
    } else term += c;
  }
  terms.push(term);
  return terms.filter((t) => t !== '');
}

function parseTerm(selector: string, term: string): FieldRequirement {
  for (let i = 0; i < term.length; i++) {
    if (term.charAt(i) === '\\') {
      i++;
      continue;
    }
    for (const symbol of ['!=', '==', '='] as const) {
      if (!term.startsWith(symbol, i)) continue;
      const value = unescapeValue(selector, term.slice(i + symbol.length));
      return { path: term.slice(0, i), op: symbol === '!=' ? '!=' : '=', value };
    }
  }
  throw new StatusError('BadRequest', `invalid selector: '${selector}'; can't understand '${term}'`);
}

function unescapeValue(selector: string, text: string): string {
  let value = '';
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === '=') throw new StatusError('BadRequest', `invalid field selector: ${selector}: unescaped '=' in value`);
    if (c !== '\\') {
      value += c;
      continue;
    }
    const escaped = text.charAt(++i);
    if (escaped !== '\\' && escaped !== ',' && escaped !== '=')
      throw new StatusError('BadRequest', `invalid field selector: invalid escape sequence: \\${escaped}`);
    value += escaped;
  }
  return value;
}
