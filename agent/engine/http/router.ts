/**
 * Method and path -> route. Each route is there with and without a version; an unknown path and an unknown method are the
 * same 404. Of two routes that fit, the one with fewer parameters counts, then the one with more text of its own
 * (`/images/json` before `/images/{name*}/json`). Source: moby daemon/server/server.go (CreateMux).
 */
import { badParameter, type EngineRoute } from './contract.ts';

export interface Target {
  /** `1.51`; undefined without one. */
  readonly version: string | undefined;
  /** Without version and query; not decoded. */
  readonly path: string;
  readonly query: string;
}

export interface Match {
  readonly route: EngineRoute;
  readonly params: Readonly<Record<string, string>>;
}

interface Compiled {
  readonly route: EngineRoute;
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly literals: number;
}

const VERSIONED = /^\/v([0-9.]+)(?=\/|$)/;
const ORIGIN = /^https?:\/\/[^/?]*/i;

export function targetOf(url: string): Target {
  const relative = url.replace(ORIGIN, '');
  const at = relative.indexOf('?');
  const whole = at < 0 ? relative : relative.slice(0, at);
  const version = VERSIONED.exec(whole)?.[1];
  const path = version === undefined ? whole : whole.slice(version.length + 2);
  return { version, path: path === '' ? '/' : path, query: at < 0 ? '' : relative.slice(at + 1) };
}

export class Router {
  readonly #byMethod = new Map<string, Compiled[]>();

  constructor(routes: readonly EngineRoute[]) {
    for (const route of routes) {
      const known = this.#byMethod.get(route.method) ?? [];
      this.#byMethod.set(route.method, [...known, compile(route)]);
    }
    for (const list of this.#byMethod.values())
      list.sort((a, b) => a.names.length - b.names.length || b.literals - a.literals);
  }

  /** Throws 400 for a path whose percent signs mean nothing. */
  match(method: string, path: string): Match | undefined {
    for (const { route, pattern, names } of this.#byMethod.get(method) ?? []) {
      const found = pattern.exec(path);
      if (found === null) continue;
      const params = Object.fromEntries(names.map((name, i) => [name, decoded(found[i + 1] ?? '')]));
      return { route, params };
    }
    return undefined;
  }
}

function compile(route: EngineRoute): Compiled {
  const names: string[] = [];
  let literals = 0;
  const source = route.path
    .split(/(\{[^}]+\})/)
    .map((piece) => {
      const [, name, star] = /^\{(\w+)(\*?)\}$/.exec(piece) ?? [];
      if (name === undefined) {
        literals += piece.length;
        return piece.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
      }
      names.push(name);
      return star === '*' ? '(.+)' : '([^/]+)';
    })
    .join('');
  return { route, pattern: new RegExp(`^${source}$`), names, literals };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badParameter(`invalid URL escape in ${JSON.stringify(text)}`);
  }
}
