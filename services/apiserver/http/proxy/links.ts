/**
 * Links of a proxied target, made to go through the proxy again: `/style.css` becomes `<prefix>/style.css`. A link that is
 * relative already works, one to another host is none of ours.
 * Source: apimachinery/pkg/util/proxy/transport.go (rewriteURL, atomsToAttrs).
 */
import { posix } from 'node:path';
import { Transform } from 'node:stream';

export interface LinkRewrite {
  /** `/api/v1/namespaces/x/services/y/proxy` */
  readonly prefix: string;
  /** The target, `10.42.0.5:8080`. */
  readonly targetHost: string;
  /** What the client's Host header said. */
  readonly clientHost: string;
}

const PARTS = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(.*)$/is;

/** A link as the client is to see it; the same text when nothing is to be changed. */
export function rewriteLink(link: string, r: LinkRewrite): string {
  const [, scheme, host = '', path = '', rest = ''] = PARTS.exec(link) ?? [];
  const isOtherHost = host !== '' && host !== r.targetHost && host !== r.clientHost;
  if (isOtherHost || !path.startsWith('/')) return link;
  const keepsOrigin = host === r.clientHost && host !== '';
  const origin = keepsOrigin ? `${scheme === undefined ? '' : `${scheme}:`}//${host}` : '';
  if (path === r.prefix || path.startsWith(`${r.prefix}/`)) return `${origin}${path}${rest}`;
  // Rooted first, so that no `..` climbs out of the prefix.
  return `${origin}${r.prefix}${posix.normalize(path)}${rest}`;
}

/** Element -> attributes that hold a link. */
const LINKS: Readonly<Record<string, readonly string[]>> = {
  a: ['href'],
  applet: ['codebase'],
  area: ['href'],
  audio: ['src'],
  base: ['href'],
  blockquote: ['cite'],
  body: ['background'],
  button: ['formaction'],
  command: ['icon'],
  del: ['cite'],
  embed: ['src'],
  form: ['action'],
  frame: ['longdesc', 'src'],
  head: ['profile'],
  html: ['manifest'],
  iframe: ['longdesc', 'src'],
  img: ['longdesc', 'src', 'usemap'],
  input: ['src', 'usemap', 'formaction'],
  ins: ['cite'],
  link: ['href'],
  object: ['classid', 'codebase', 'data', 'usemap'],
  q: ['cite'],
  script: ['src'],
  source: ['src'],
  video: ['poster', 'src'],
};

/** What stands in these is text up to their own end tag. */
const RAW_TEXT = new Set(['iframe', 'noembed', 'noframes', 'noscript', 'script', 'style', 'textarea', 'title', 'xmp']);
/** A start tag that is longer passes as it is. */
const TAG_CHARACTERS_MAX = 64 * 1024;

/** Rewrites the links of a page while it streams; every other byte stays. */
export function htmlRewriter(r: LinkRewrite): Transform {
  const scanner = new HtmlScanner(r);
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) =>
      done(null, Buffer.from(scanner.push(chunk.toString('latin1')), 'latin1')),
    flush: (done) => done(null, Buffer.from(scanner.end(), 'latin1')),
  });
}

/** One character a byte (latin1), so that nothing depends on the page's own encoding and nothing of it is lost. */
class HtmlScanner {
  readonly #r: LinkRewrite;
  #pending = '';
  /** The element whose raw text we are in. */
  #rawIn: string | undefined;
  #isInComment = false;

  constructor(r: LinkRewrite) {
    this.#r = r;
  }

  /** What is certain by now. */
  push(text: string): string {
    this.#pending += text;
    let out = '';
    for (;;) {
      const step = this.#step();
      if (step === undefined) return out;
      out += step;
    }
  }

  end(): string {
    const rest = this.#pending;
    this.#pending = '';
    return rest;
  }

  /** Takes a piece off `pending`; undefined when more is needed. */
  #step(): string | undefined {
    const text = this.#pending;
    if (text === '') return undefined;
    if (this.#isInComment) return this.#upTo('-->', () => (this.#isInComment = false));
    if (this.#rawIn !== undefined) return this.#rawText(this.#rawIn);
    const at = text.indexOf('<');
    if (at !== 0) return this.#take(at < 0 ? text.length : at);
    if (text.startsWith('<!--')) {
      this.#isInComment = true;
      return this.#take(4);
    }
    if (text.length < 4 && '<!--'.startsWith(text)) return undefined;
    if (!/^<[a-z]/i.test(text)) return this.#take(1);
    const length = tagLength(text);
    if (length === undefined) return text.length > TAG_CHARACTERS_MAX ? this.#take(text.length) : undefined;
    return this.#tag(this.#take(length));
  }

  #tag(tag: string): string {
    const name = (/^<([^\s/>]+)/.exec(tag)?.[1] ?? '').toLowerCase();
    if (RAW_TEXT.has(name) && !tag.endsWith('/>')) this.#rawIn = name;
    const attributes = Object.hasOwn(LINKS, name) ? LINKS[name] : undefined;
    return attributes === undefined ? tag : rewriteTag(tag, name.length + 1, attributes, this.#r);
  }

  #rawText(name: string): string | undefined {
    const text = this.#pending;
    const close = `</${name}`;
    const at = text.toLowerCase().indexOf(close);
    if (at >= 0) {
      this.#rawIn = undefined;
      return this.#take(at + close.length);
    }
    return this.#allBut(close.length - 1);
  }

  #upTo(mark: string, found: () => void): string | undefined {
    const at = this.#pending.indexOf(mark);
    if (at < 0) return this.#allBut(mark.length - 1);
    found();
    return this.#take(at + mark.length);
  }

  /** All but what may be the beginning of a mark. */
  #allBut(kept: number): string | undefined {
    const length = this.#pending.length - kept;
    return length > 0 ? this.#take(length) : undefined;
  }

  #take(length: number): string {
    const piece = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    return piece;
  }
}

/** Of the tag that `text` begins with, its `>` included; one in quotes does not end it. */
function tagLength(text: string): number | undefined {
  let quote = '';
  let last = '';
  for (let i = 1; i < text.length && i <= TAG_CHARACTERS_MAX; i++) {
    const character = text.charAt(i);
    if (quote !== '') {
      if (character === quote) quote = '';
    } else if (character === '>') return i + 1;
    else if ((character === '"' || character === "'") && last === '=') quote = character;
    if (character.trim() !== '') last = character;
  }
  return undefined;
}

function rewriteTag(tag: string, from: number, attributes: readonly string[], r: LinkRewrite): string {
  let out = tag.slice(0, from);
  let at = from;
  // Sticky, and each part excludes what begins the next: one pass, whatever the tag holds.
  const attribute = /([\s/]*)([^\s/>=]+)(\s*=\s*)?("[^"]*"|'[^']*'|[^\s>"'][^\s>]*)?/y;
  for (;;) {
    attribute.lastIndex = at;
    const match = attribute.exec(tag);
    if (match === null || match[0] === '') return out + tag.slice(at);
    const [all, space = '', name = '', equals, value] = match;
    if (equals === undefined || value === undefined || !attributes.includes(name.toLowerCase())) {
      // Without `=` what follows is an attribute of its own.
      const taken = equals === undefined ? space + name : all;
      out += taken;
      at += taken.length;
      continue;
    }
    const quote = /^["']/.test(value) ? value.charAt(0) : '';
    const link = quote === '' ? value : value.slice(1, -1);
    out += `${space}${name}${equals}${quote}${rewriteLink(link, r)}${quote}`;
    at += all.length;
  }
}
