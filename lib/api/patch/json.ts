/**
 * JSON Patch (RFC 6902) with JSON Pointer (RFC 6901), as the API server applies it.
 *
 * Idea: the input is never changed. A container is copied the first time an operation goes through it and is then
 * changed in place, so a patch of n operations copies each container once, not n times.
 * Invariants: at most 10,000 operations, 3 MiB of copied values, 50 million elements of lists moved along, 1,000 levels of
 * nesting; the key `__proto__` is refused; a malformed patch is BadRequest (400), one that cannot be applied is Invalid (422).
 * Source: RFC 6902; k8s.io/apiserver/pkg/endpoints/handlers/patch.go (limits).
 */
import { StatusError } from '#lib/base';
import { isValueWithinDepth, JSON_DEPTH_MAX } from '../json-depth.ts';
import { cloneJson, equalJson, getOwn, isObject, type JsonObject } from './value.ts';

const OPERATIONS_MAX = 10_000;
const COPIED_BYTES_MAX = 3 * 1024 * 1024;
/** Each insertion into a list moves what is behind it: 10,000 of them into one of a million would take many seconds. */
const MOVED_ELEMENTS_MAX = 50_000_000;

type Operation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly path: string; readonly from: string };

/** A `test` of the patch that is not so: to some this means that the patch is not wanted. */
export class FailedTest extends StatusError {}

/** The patched value. `ops` is the parsed patch document. Throws BadRequest, Invalid or TooLarge. */
export function applyJsonPatch(object: unknown, ops: unknown): unknown {
  const list = decodeOperations(ops);
  const draft = new Draft(object);
  for (const op of list) apply(draft, op);
  if (!isValueWithinDepth(draft.root, JSON_DEPTH_MAX)) throw tooDeep();
  return draft.root;
}

function apply(draft: Draft, o: Operation): void {
  switch (o.op) {
    case 'add':
      draft.add(pointer(o.path), o.value);
      break;
    case 'remove':
      draft.remove(pointer(o.path), o.op);
      break;
    case 'replace':
      draft.replace(pointer(o.path), o.value);
      break;
    case 'move': {
      if (o.path.startsWith(`${o.from}/`)) throw invalid(`move operation into its own child: ${o.path}`);
      const value = draft.get(pointer(o.from), 'move');
      if (o.from === o.path) break;
      draft.remove(pointer(o.from), 'move');
      draft.add(pointer(o.path), value);
      break;
    }
    case 'copy':
      draft.copy(pointer(o.from), pointer(o.path));
      break;
    case 'test': {
      const found = draft.find(pointer(o.path));
      if (!equalJson(found ?? null, o.value))
        throw new FailedTest('Invalid', `testing value ${o.path} failed: test failed`);
      break;
    }
  }
}

/** The document while operations are applied to it. */
class Draft {
  root: unknown;
  /** Containers that this draft made: safe to change in place. */
  readonly #own = new WeakSet<object>();
  #copiedBytes = 0;
  #movedElements = 0;

  constructor(root: unknown) {
    this.root = root;
  }

  /** The value at a path, or undefined. */
  find(path: readonly string[]): unknown {
    let value = this.root;
    for (const step of path) {
      if (Array.isArray(value)) value = INDEX.test(step) ? value[Number(step)] : undefined;
      else value = isObject(value) ? getOwn(value, step) : undefined;
      if (value === undefined) return undefined;
    }
    return value;
  }

  get(path: readonly string[], operation: string): unknown {
    const value = this.find(path);
    if (value === undefined) throw missing(operation, path);
    return value;
  }

  add(path: readonly string[], value: unknown): void {
    const last = path.at(-1);
    if (last === undefined) {
      this.root = value;
      return;
    }
    const parent = this.#parent(path, 'add');
    if (Array.isArray(parent)) {
      const at = last === '-' ? parent.length : index(last, parent.length, path);
      this.#move(parent.length - at);
      parent.splice(at, 0, value);
    } else parent[last] = value;
  }

  remove(path: readonly string[], operation: string): void {
    const last = path.at(-1);
    if (last === undefined)
      throw invalid(`${operation} operation does not apply: the whole document cannot be removed`);
    this.get(path, operation);
    const parent = this.#parent(path, operation);
    if (Array.isArray(parent)) {
      const at = index(last, parent.length - 1, path);
      this.#move(parent.length - at);
      parent.splice(at, 1);
    } else delete parent[last];
  }

  replace(path: readonly string[], value: unknown): void {
    const last = path.at(-1);
    if (last === undefined) {
      this.root = value;
      return;
    }
    this.get(path, 'replace');
    const parent = this.#parent(path, 'replace');
    if (Array.isArray(parent)) parent[index(last, parent.length - 1, path)] = value;
    else parent[last] = value;
  }

  copy(from: readonly string[], path: readonly string[]): void {
    const value = this.get(from, 'copy');
    if (!isValueWithinDepth(value, JSON_DEPTH_MAX)) throw tooDeep();
    this.#copiedBytes += JSON.stringify(value).length;
    if (this.#copiedBytes > COPIED_BYTES_MAX)
      throw new StatusError(
        'TooLarge',
        `Unable to complete the copy, the accumulated size increase is larger than the limit ${COPIED_BYTES_MAX}`,
      );
    this.add(path, cloneJson(value));
  }

  #move(elements: number): void {
    this.#movedElements += elements;
    if (this.#movedElements > MOVED_ELEMENTS_MAX)
      throw new StatusError('TooLarge', 'Unable to apply the JSON patch, it moves too many elements of lists');
  }

  /** The container that holds the last step of `path`, made changeable together with all above it. */
  #parent(path: readonly string[], operation: string): unknown[] | JsonObject {
    let holder = this.#owned(this.root);
    if (holder === undefined) throw missing(operation, path);
    this.root = holder;
    for (const step of path.slice(0, -1)) {
      const child = this.#owned(childOf(holder, step));
      if (child === undefined) throw missing(operation, path);
      if (Array.isArray(holder)) holder[Number(step)] = child;
      else holder[step] = child;
      holder = child;
    }
    return holder;
  }

  #owned(value: unknown): unknown[] | JsonObject | undefined {
    if (!Array.isArray(value) && !isObject(value)) return undefined;
    if (this.#own.has(value)) return value;
    const copy = Array.isArray(value) ? [...value] : { ...value };
    this.#own.add(copy);
    return copy;
  }
}

function tooDeep(): StatusError {
  return invalid(`exceeded max depth: objects and arrays may nest ${JSON_DEPTH_MAX} deep`);
}

function childOf(holder: unknown[] | JsonObject, step: string): unknown {
  if (Array.isArray(holder)) return INDEX.test(step) ? holder[Number(step)] : undefined;
  return getOwn(holder, step);
}

const INDEX = /^(0|[1-9]\d{0,9})$/;

function index(step: string, max: number, path: readonly string[]): number {
  const i = INDEX.test(step) ? Number(step) : -1;
  if (i < 0 || i > max)
    throw invalid(`Unable to access invalid index: ${step} in ${pathText(path)}: invalid index referenced`);
  return i;
}

function pointer(text: string): string[] {
  if (text === '') return [];
  if (!text.startsWith('/')) throw bad(`jsonpatch path ${JSON.stringify(text)} must start with "/"`);
  const steps = text
    .slice(1)
    .split('/')
    .map((s) => s.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (steps.includes('__proto__')) throw bad(`jsonpatch path ${JSON.stringify(text)} is not allowed`);
  return steps;
}

function decodeOperations(ops: unknown): Operation[] {
  if (!Array.isArray(ops)) throw bad('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  if (ops.length > OPERATIONS_MAX)
    throw new StatusError(
      'TooLarge',
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${ops.length}`,
    );
  return ops.map(decodeOperation);
}

function decodeOperation(o: unknown): Operation {
  if (!isObject(o)) throw bad('a JSON patch operation must be an object');
  const op = getOwn(o, 'op');
  const path = getOwn(o, 'path');
  if (typeof path !== 'string') throw bad('a JSON patch operation must have a path');
  switch (op) {
    case 'add':
    case 'replace':
    case 'test':
      if (!Object.hasOwn(o, 'value')) throw bad(`JSON patch operation ${op} of ${path} must have a value`);
      return { op, path, value: getOwn(o, 'value') };
    case 'remove':
      return { op, path };
    case 'move':
    case 'copy': {
      const from = getOwn(o, 'from');
      if (typeof from !== 'string') throw bad(`JSON patch operation ${op} of ${path} must have a from`);
      return { op, path, from };
    }
    default:
      throw bad(`Unexpected kind: ${typeof op === 'string' ? op : 'unknown'}`);
  }
}

function pathText(path: readonly string[]): string {
  return path.map((s) => `/${s.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function missing(operation: string, path: readonly string[]): StatusError {
  return invalid(`${operation} operation does not apply: doc is missing path: ${pathText(path)}: missing value`);
}

function invalid(text: string): StatusError {
  return new StatusError('Invalid', text);
}

function bad(text: string): StatusError {
  return new StatusError('BadRequest', text);
}
