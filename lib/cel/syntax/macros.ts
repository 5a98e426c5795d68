/**
 * Macro expansion (cel-spec "Macros"; cel-go parser/macro.go, cel/library.go for optMap, ext/comprehensions.go for two variables).
 * A macro that does not fit the call's shape gives undefined and the call stays a call.
 */
import { ACCUMULATOR, type Node, UNUSED_VARIABLE } from '../ast.ts';
import type { Issue } from '../source.ts';
import type { Builder } from './builder.ts';

export type Expansion = Node | Issue | undefined;
type Expander = (b: Builder, offset: number, target: Node, args: readonly Node[]) => Expansion;

export function isIssue(e: Node | Issue): e is Issue {
  return 'message' in e;
}

export function expandGlobal(b: Builder, offset: number, fn: string, args: readonly Node[]): Expansion {
  const [arg] = args;
  if (fn !== 'has' || args.length !== 1 || arg === undefined) return undefined;
  if (arg.kind === 'select' && !arg.testOnly) return b.presence(offset, arg.operand, arg.field);
  return { offset: arg.offset, message: 'invalid argument to has() macro' };
}

/** Key: name and number of arguments. */
const MEMBER_MACROS: ReadonlyMap<string, Expander> = new Map<string, Expander>([
  ['all/2', quantifier(1, all)],
  ['exists/2', quantifier(1, exists)],
  ['exists_one/2', quantifier(1, existsOne)],
  ['existsOne/2', quantifier(1, existsOne)],
  ['all/3', quantifier(2, all)],
  ['exists/3', quantifier(2, exists)],
  ['exists_one/3', quantifier(2, existsOne)],
  ['existsOne/3', quantifier(2, existsOne)],
  ['map/2', quantifier(1, transformList)],
  ['map/3', quantifier(1, transformList)],
  ['filter/2', quantifier(1, filter)],
  ['transformList/3', quantifier(2, transformList)],
  ['transformList/4', quantifier(2, transformList)],
  ['transformMap/3', quantifier(2, transformMap)],
  ['transformMap/4', quantifier(2, transformMap)],
  ['transformMapEntry/3', quantifier(2, transformMapEntry)],
  ['transformMapEntry/4', quantifier(2, transformMapEntry)],
  ['sortBy/2', sortBy],
  ['optMap/2', (b, offset, target, args) => optional(b, offset, target, args, 'optMap')],
  ['optFlatMap/2', (b, offset, target, args) => optional(b, offset, target, args, 'optFlatMap')],
]);

export function expandMember(b: Builder, offset: number, target: Node, fn: string, args: readonly Node[]): Expansion {
  return MEMBER_MACROS.get(`${fn}/${args.length}`)?.(b, offset, target, args);
}

interface Loop {
  readonly b: Builder;
  readonly offset: number;
  readonly range: Node;
  readonly iterVar: string;
  readonly iterVar2: string | undefined;
  /** The arguments after the variables. */
  readonly args: readonly Node[];
}

function quantifier(variables: 1 | 2, expand: (loop: Loop) => Node | Issue): Expander {
  return (b, offset, range, args) => {
    const names: string[] = [];
    for (const arg of args.slice(0, variables)) {
      if (arg.kind !== 'ident') return { offset: arg.offset, message: 'argument must be a simple name' };
      if (arg.name === ACCUMULATOR || arg.name === '__result__')
        return { offset: arg.offset, message: 'iteration variable overwrites accumulator variable' };
      names.push(arg.name);
    }
    const [iterVar = '', iterVar2] = names;
    if (iterVar === iterVar2)
      return { offset: args[1]?.offset ?? offset, message: `duplicate variable name: ${iterVar}` };
    return expand({ b, offset, range, iterVar, iterVar2, args: args.slice(variables) });
  };
}

function fold(loop: Loop, accuInit: Node, condition: Node, step: Node, result: Node): Node {
  const { b, offset, range, iterVar, iterVar2 } = loop;
  return b.comprehension(offset, {
    range,
    iterVar,
    ...(iterVar2 === undefined ? {} : { iterVar2 }),
    accuVar: ACCUMULATOR,
    accuInit,
    condition,
    step,
    result,
  });
}

const accu = (loop: Loop): Node => loop.b.ident(loop.offset, ACCUMULATOR);
const argument = (loop: Loop, i: number): Node => loop.args[i] ?? loop.b.constant(loop.offset, true);

function all(loop: Loop): Node {
  const { b, offset } = loop;
  const condition = b.call(offset, '@not_strictly_false', accu(loop));
  return fold(
    loop,
    b.constant(offset, true),
    condition,
    b.call(offset, '_&&_', accu(loop), argument(loop, 0)),
    accu(loop),
  );
}

function exists(loop: Loop): Node {
  const { b, offset } = loop;
  const condition = b.call(offset, '@not_strictly_false', b.call(offset, '!_', accu(loop)));
  const step = b.call(offset, '_||_', accu(loop), argument(loop, 0));
  return fold(loop, b.constant(offset, false), condition, step, accu(loop));
}

function existsOne(loop: Loop): Node {
  const { b, offset } = loop;
  const increment = b.call(offset, '_+_', accu(loop), b.constant(offset, 1n));
  const step = b.call(offset, '_?_:_', argument(loop, 0), increment, accu(loop));
  const result = b.call(offset, '_==_', accu(loop), b.constant(offset, 1n));
  return fold(loop, b.constant(offset, 0n), b.constant(offset, true), step, result);
}

/** `map` and `transformList`: with one argument a transform, with two a filter before it. */
function transformList(loop: Loop): Node {
  const { b, offset } = loop;
  const transform = argument(loop, loop.args.length - 1);
  const append = b.call(offset, '_+_', accu(loop), b.list(offset, [transform]));
  return fold(loop, b.list(offset, []), b.constant(offset, true), filtered(loop, append), accu(loop));
}

function filtered(loop: Loop, step: Node): Node {
  return loop.args.length < 2 ? step : loop.b.call(loop.offset, '_?_:_', argument(loop, 0), step, accu(loop));
}

function filter(loop: Loop): Node {
  const { b, offset } = loop;
  const append = b.call(offset, '_+_', accu(loop), b.list(offset, [b.ident(offset, loop.iterVar)]));
  const step = b.call(offset, '_?_:_', argument(loop, 0), append, accu(loop));
  return fold(loop, b.list(offset, []), b.constant(offset, true), step, accu(loop));
}

function transformMap(loop: Loop): Node {
  const { b, offset } = loop;
  const key = b.ident(offset, loop.iterVar);
  const insert = b.call(offset, 'cel.@mapInsert', accu(loop), key, argument(loop, loop.args.length - 1));
  return fold(loop, b.map(offset, []), b.constant(offset, true), filtered(loop, insert), accu(loop));
}

function transformMapEntry(loop: Loop): Node {
  const { b, offset } = loop;
  const insert = b.call(offset, 'cel.@mapInsert', accu(loop), argument(loop, loop.args.length - 1));
  return fold(loop, b.map(offset, []), b.constant(offset, true), filtered(loop, insert), accu(loop));
}

/** cel-go repeats the target; a chain of these would then be of exponential size, so it is named here. */
function optional(
  b: Builder,
  offset: number,
  target: Node,
  args: readonly Node[],
  fn: 'optMap' | 'optFlatMap',
): Expansion {
  const [name, body] = args;
  if (name === undefined || body === undefined) return undefined;
  if (name.kind !== 'ident')
    return { offset: name.offset, message: `${fn}() variable name must be a simple identifier` };
  const opt = `@opt${target.id}`;
  const use = () => b.ident(offset, opt);
  const value = b.memberCall(offset, use(), 'value', []);
  const bound = b.bind(offset, name.name === '_' ? UNUSED_VARIABLE : name.name, value, body);
  const found = fn === 'optMap' ? b.call(offset, 'optional.of', bound) : bound;
  const conditional = b.call(
    offset,
    '_?_:_',
    b.memberCall(offset, use(), 'hasValue', []),
    found,
    b.call(offset, 'optional.none'),
  );
  return b.bind(offset, opt, target, conditional);
}

/** `list.sortBy(e, key)`: the list is named, since it is both sorted and the source of the keys. */
function sortBy(b: Builder, offset: number, target: Node, args: readonly Node[]): Expansion {
  const [name] = args;
  if (name?.kind !== 'ident')
    return { offset: name?.offset ?? offset, message: 'sortBy must be called with a simple variable name' };
  const list = `@list${target.id}`;
  const keys = quantifier(1, transformList)(b, offset, b.ident(offset, list), args);
  if (keys === undefined || isIssue(keys)) return keys;
  const sorted = b.memberCall(offset, b.ident(offset, list), '@sortByAssociatedKeys', [keys]);
  return b.bind(offset, list, target, sorted);
}
