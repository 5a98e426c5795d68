/**
 * YAML as kubectl and the API server of Kubernetes read it (sigs.k8s.io/yaml on go-yaml v2): YAML 1.1, so `on` is true and `0644`
 * is 420, but what looks like a time stays text, because Go's reader turns `2020-01-01` and `12:30:45` into nothing else. The
 * library is loaded with the first text, since a server mostly speaks JSON.
 */

import type { CollectionTag, Document, LineCounter, ScalarTag, Tags } from 'yaml';
import { isValueWithinDepth } from './json-depth.ts';

export interface YamlDocument {
  readonly value: unknown;
  /** The first one, with line and column; `value` is then of no use. */
  readonly mistake: Error | undefined;
}

const ALIASES_MAX = 100;

/** Every document of the text, in order; one that holds nothing has the value null. */
export async function readYaml(text: string): Promise<YamlDocument[]> {
  const { default: yaml } = await import('yaml');
  const lineCounter = new yaml.LineCounter();
  const documents = yaml.parseAllDocuments(text, {
    version: '1.1',
    prettyErrors: true,
    customTags: asGo,
    lineCounter,
    // Its warnings go to stderr: what clients send must not fill a log.
    logLevel: 'error',
    // The library compares each key with each other: one document of 200 000 keys would stop a server for minutes.
    uniqueKeys: false,
  });
  return documents.map((d) => {
    const mistake = d.errors[0] ?? keyGivenTwice(yaml, d, lineCounter);
    return mistake === undefined
      ? { value: d.toJS({ maxAliasCount: ALIASES_MAX }) as unknown, mistake }
      : { value: undefined, mistake };
  });
}

/** A merge key (`<<`) may stand several times. */
function keyGivenTwice(yaml: typeof import('yaml'), document: Document, lines: LineCounter): Error | undefined {
  let found: Error | undefined;
  yaml.visit(document, {
    Map: (_key, map) => {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!yaml.isScalar(key) || key.value === '<<') continue;
        const name = String(key.value);
        if (seen.has(name)) {
          const { line, col } = lines.linePos(key.range?.[0] ?? 0);
          found = new Error(`Map keys must be unique: "${name}" at line ${line}, column ${col}`);
          return yaml.visit.BREAK;
        }
        seen.add(name);
      }
      return undefined;
    },
  });
  return found;
}

/** Deeper, the library's recursion overflows the stack (between 800 and 1,000 levels), and indentation alone is megabytes. */
const BLOCK_DEPTH_MAX = 300;

/**
 * Quotes what a reader of YAML 1.1 would take for a boolean, a number or a time. What nests deeper than anybody reads is in flow
 * style, as JSON, which is YAML too (YAML 1.2.2 section 1.2).
 */
export async function writeYaml(value: unknown): Promise<string> {
  if (!isValueWithinDepth(value, BLOCK_DEPTH_MAX)) return `${JSON.stringify(value)}\n`;
  const { default: yaml } = await import('yaml');
  return yaml.stringify(value, {
    lineWidth: 0,
    version: '1.1',
    indentSeq: false,
    aliasDuplicateObjects: false,
    customTags: (tags) => [OCTAL, ...tags],
  });
}

const NOT_OF_GO = /:(timestamp|binary|omap|pairs|set)$/;

const BINARY: ScalarTag = {
  tag: 'tag:yaml.org,2002:binary',
  resolve: (text) => Buffer.from(text, 'base64').toString('utf8'),
};

const OCTAL: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0o[0-7]+$/,
  resolve: (text) => (text.startsWith('-') ? -1 : 1) * Number(text.replace(/^[-+]/, '')),
};

function asGo(tags: Tags): Tags {
  const isOfGo = (t: ScalarTag | CollectionTag): boolean =>
    !NOT_OF_GO.test(t.tag) && !('format' in t && t.format === 'TIME');
  return [OCTAL, ...tags.filter((t) => typeof t === 'string' || isOfGo(t)), BINARY];
}
