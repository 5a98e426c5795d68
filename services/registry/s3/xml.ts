/** The few elements that S3's answers are asked for: flat texts and lists of them. Pure. Source: the S3 API reference. */
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** The text of the first element of that name. */
export function textOf(xml: string, name: string): string | undefined {
  return textsOf(xml, name)[0];
}

/** The inner texts of all elements of that name, in their order, entities undone. */
export function textsOf(xml: string, name: string): readonly string[] {
  return elementsOf(xml, name).map(decodeEntities);
}

/** As they are, for those that hold others. Elements of one name do not nest in these answers. */
export function elementsOf(xml: string, name: string): readonly string[] {
  const out: string[] = [];
  for (let at = 0; ; ) {
    const open = xml.indexOf(`<${name}`, at);
    if (open < 0) return out;
    const end = xml.indexOf('>', open);
    const after = xml[open + name.length + 1];
    at = end + 1;
    if (end < 0) return out;
    if (after !== '>' && after !== ' ' && after !== '/') {
      at = open + 1;
      continue;
    }
    if (xml[end - 1] === '/') {
      out.push('');
      continue;
    }
    const close = xml.indexOf(`</${name}>`, at);
    if (close < 0) return out;
    out.push(xml.slice(at, close));
    at = close;
  }
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (ch) => `&#${ch.charCodeAt(0)};`);
}

function decodeEntities(text: string): string {
  return text.replace(/&(#x?[0-9a-fA-F]{1,6}|[a-z]{2,4});/g, (all, name: string) => {
    if (!name.startsWith('#')) return ENTITIES[name] ?? all;
    const code = name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return Number.isInteger(code) && code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}
