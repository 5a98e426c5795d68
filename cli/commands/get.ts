/**
 * `berth get`: what there is, in the server's own Table form, or as whole objects. A watch lists first and goes on from that
 * revision; when the server no longer has it, it lists again.
 */
import { type Ctx, isKind, messageOf, StatusError, toStatusError } from '#lib/base';
import { type DiscoveredResource, jsonLines, resourcePath, withQuery } from '#lib/client';
import { type AccessOptions, type Session, withSession } from '../client/access.ts';
import { parseTargets, type Wanted, wrongUse } from '../client/arguments.ts';
import {
  headerOf,
  objectsText,
  rowOf,
  type TableView,
  type WireColumn,
  type WireRow,
  type WireTable,
} from '../output/objects.ts';
import { GrowingTable, textTable } from '../output/table.ts';

export interface GetOptions extends AccessOptions {
  readonly allNamespaces?: boolean;
  readonly output?: string;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: boolean;
  /** commander's form of --no-headers. */
  readonly headers?: boolean;
  readonly showLabels?: boolean;
  readonly showManagedFields?: boolean;
  readonly ignoreNotFound?: boolean;
}

const FORMATS = ['wide', 'yaml', 'json', 'name'];
const PAGE = '500';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

export async function getCommand(words: readonly string[], o: GetOptions): Promise<number> {
  return await withSession(o, (s) => get(words, o, s));
}

/** Returns the exit code: 1 when something asked for by name is not there. */
export async function get(words: readonly string[], o: GetOptions, s: Session): Promise<number> {
  if (o.output !== undefined && !FORMATS.includes(o.output))
    throw wrongUse(`-o ${o.output}: one of ${FORMATS.join(', ')}; without -o a table is printed`);
  const wanted = parseTargets(words, await s.resources());
  if (o.allNamespaces === true && wanted.some((w) => w.names !== undefined))
    throw wrongUse('a name belongs to one namespace: leave out -A, or the name');
  if (wanted.some((w) => w.names !== undefined) && (o.selector !== undefined || o.fieldSelector !== undefined))
    throw wrongUse('ask by name or by selector, not by both');
  const q: Query = { ...o, failures: [] };
  if (o.watch === true) await watch(wanted, q, s);
  else if (o.output === 'yaml' || o.output === 'json') await printObjects(wanted, q, o.output, s);
  else if (o.output === 'name') await printNames(wanted, q, s);
  else await printTables(wanted, q, s);
  for (const f of q.failures) s.err.write(`berth get: ${f}\n`);
  return q.failures.length > 0 ? 1 : 0;
}

interface Query extends GetOptions {
  /** What was asked for by name and is not there: told at the end, behind what is. */
  readonly failures: string[];
}

async function printTables(wanted: readonly Wanted[], q: Query, s: Session): Promise<void> {
  let isFirst = true;
  for (const w of wanted) {
    const { columns, rows } = await fetchTable(w, q, s);
    if (rows.length === 0) continue;
    const view = viewOf(w, q, wanted.length > 1);
    if (!isFirst) s.out.write('\n');
    isFirst = false;
    const header = q.headers === false ? [] : [headerOf(columns, view)];
    s.out.write(textTable([...header, ...rows.map((r) => rowOf(r, columns, view))]));
  }
  if (isFirst && q.failures.length === 0) tellNothing(wanted, q, s);
}

function tellNothing(wanted: readonly Wanted[], q: Query, s: Session): void {
  if (q.ignoreNotFound === true) return;
  const isNamespaced = wanted.some((w) => w.resource.namespaced) && q.allNamespaces !== true;
  s.err.write(
    isNamespaced
      ? `No resources found in namespace ${s.namespace} (-A looks in all of them, -n NAME in another).\n`
      : 'No resources found.\n',
  );
}

function viewOf(w: Wanted, q: Query, isOneOfMany: boolean): TableView {
  return {
    wide: q.output === 'wide',
    withNamespace: q.allNamespaces === true && w.resource.namespaced,
    namePrefix: isOneOfMany ? `${qualifiedName(w.resource)}/` : undefined,
    showLabels: q.showLabels === true,
  };
}

/** `pod`, `deployment.apps` */
export function qualifiedName(r: DiscoveredResource): string {
  const singular = r.singular === '' ? r.kind.toLowerCase() : r.singular;
  return r.group === '' ? singular : `${singular}.${r.group}`;
}

interface Fetched {
  readonly columns: readonly WireColumn[];
  readonly rows: readonly WireRow[];
  readonly resourceVersion: string;
}

async function fetchTable(w: Wanted, q: Query, s: Session): Promise<Fetched> {
  let columns: readonly WireColumn[] = [];
  let resourceVersion = '';
  const rows: WireRow[] = [];
  const take = (t: WireTable): void => {
    if (t.kind !== 'Table')
      throw new StatusError('Internal', `this server gives no table of ${w.resource.resource}: try -o name`);
    if ((t.columnDefinitions ?? []).length > 0) columns = t.columnDefinitions ?? [];
    resourceVersion = t.metadata?.resourceVersion ?? resourceVersion;
    rows.push(...(t.rows ?? []));
  };
  if (w.names === undefined) {
    for await (const page of pages(w.resource, q, s)) take(page);
  } else {
    for (const name of w.names) {
      const path = pathOf(w.resource, q, s, name);
      await unlessMissing(q, async () =>
        take((await s.client.json({ method: 'GET', path, accept: TABLE }, s.c)) as WireTable),
      );
    }
  }
  return { columns, rows, resourceVersion };
}

async function* pages(r: DiscoveredResource, q: Query, s: Session): AsyncIterable<WireTable> {
  for (let token = ''; ; ) {
    const path = withQuery(pathOf(r, q, s), { ...selectors(q), limit: PAGE, continue: token });
    const page = (await s.client.json({ method: 'GET', path, accept: TABLE }, s.c)) as WireTable;
    yield page;
    token = page.metadata?.continue ?? '';
    if (token === '') return;
  }
}

async function unlessMissing(q: Query, fn: () => Promise<void>): Promise<void> {
  try {
    await fn();
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
    if (q.ignoreNotFound !== true) q.failures.push(messageOf(e));
  }
}

function pathOf(r: DiscoveredResource, q: Query, s: Session, name?: string): string {
  return resourcePath(r, { namespace: q.allNamespaces === true ? '' : s.namespace, name });
}

function selectors(q: Query): Record<string, string | undefined> {
  return { labelSelector: q.selector, fieldSelector: q.fieldSelector };
}

async function printNames(wanted: readonly Wanted[], q: Query, s: Session): Promise<void> {
  for (const w of wanted) {
    const { rows } = await fetchTable(w, q, s);
    for (const r of rows) s.out.write(`${qualifiedName(w.resource)}/${r.object?.metadata?.name ?? ''}\n`);
  }
}

async function printObjects(wanted: readonly Wanted[], q: Query, format: 'yaml' | 'json', s: Session): Promise<void> {
  const objects: object[] = [];
  for (const w of wanted) {
    if (w.names === undefined) objects.push(...(await listAll(w.resource, q, s)));
    for (const name of w.names ?? []) {
      const key = { namespace: w.resource.namespaced ? s.namespace : '', name };
      await unlessMissing(q, async () => void objects.push(await s.client.get(w.resource, key, s.c)));
    }
  }
  const alone = wanted.length === 1 && wanted[0]?.names?.length === 1;
  if (objects.length === 0 && (alone || q.failures.length > 0)) return;
  s.out.write(await objectsText(objects, { format, alone, managedFields: q.showManagedFields === true }));
}

async function listAll(r: DiscoveredResource, q: Query, s: Session): Promise<object[]> {
  const out: object[] = [];
  const namespace = q.allNamespaces === true || !r.namespaced ? '' : s.namespace;
  for (let token: string | undefined; ; ) {
    const page = await s.client.list(r, { ...selectors(q), namespace, limit: Number(PAGE), continue: token }, s.c);
    out.push(...page.items);
    token = page.continue;
    if (token === undefined || token === '') return out;
  }
}

/** Ends only with the process, or when the server refuses. */
async function watch(wanted: readonly Wanted[], q: Query, s: Session): Promise<void> {
  const [w, second] = wanted;
  if (w === undefined || second !== undefined || (w.names?.length ?? 0) > 1)
    throw wrongUse('-w follows one resource, or one object, at a time');
  if (q.output !== undefined && q.output !== 'wide') throw wrongUse(`-w prints a table: leave out -o ${q.output}`);
  const [name] = w.names ?? [];
  const query: Query = name === undefined ? q : { ...q, fieldSelector: `metadata.name=${name}` };
  await followTable({ resource: w.resource }, query, s, s.c);
}

/** Exported for its test: `c` ends it. */
export async function followTable(w: Wanted, q: Query, s: Session, c: Ctx): Promise<void> {
  const view = viewOf(w, q, false);
  const table = new GrowingTable();
  let columns: readonly WireColumn[] = [];
  let isHeaderDue = q.headers !== false;
  const seen = new Map<string, string>();
  const print = (rows: readonly WireRow[]): void => {
    const lines = rows.map((r) => rowOf(r, columns, view));
    if (lines.length > 0 && isHeaderDue) lines.unshift(headerOf(columns, view));
    if (lines.length > 0) isHeaderDue = false;
    s.out.write(table.add(lines));
  };
  for (;;) {
    const first = await fetchTable(w, q, s);
    columns = first.columns.length > 0 ? first.columns : columns;
    // After a second listing only what changed meanwhile is told.
    print(first.rows.filter((r) => isNews(seen, r)));
    let revision = first.resourceVersion;
    try {
      for (;;) {
        for await (const event of events(w.resource, { ...q, revision }, s, c)) {
          if ((event.columnDefinitions ?? []).length > 0) columns = event.columnDefinitions ?? [];
          const rows = event.rows ?? [];
          revision = revisionOf(rows.at(-1)) ?? revision;
          for (const r of rows) isNews(seen, r);
          print(rows);
        }
      }
    } catch (e) {
      if (!isKind(e, 'Expired')) throw e;
    }
  }
}

async function* events(
  r: DiscoveredResource,
  q: Query & { revision: string },
  s: Session,
  c: Ctx,
): AsyncIterable<WireTable> {
  const path = withQuery(pathOf(r, q, s), { ...selectors(q), watch: 'true', resourceVersion: q.revision });
  const answer = await s.client.raw({ method: 'GET', path, accept: TABLE, stream: true }, c);
  try {
    for await (const line of jsonLines(answer.body)) {
      const event = line as { type: string; object: unknown };
      if (event.type === 'ERROR') {
        const status = event.object as { code?: number; message?: string };
        throw new StatusError(status.code === 410 ? 'Expired' : 'Internal', status.message ?? 'the watch failed');
      }
      if (event.type !== 'BOOKMARK') yield event.object as WireTable;
    }
  } catch (e) {
    if (e instanceof StatusError || c.signal.aborted) throw toStatusError(e);
    throw new StatusError('Unavailable', `the watch of ${r.resource} was cut: ${messageOf(e)}`, { cause: e });
  }
}

function revisionOf(row: WireRow | undefined): string | undefined {
  return (row?.object?.metadata as { resourceVersion?: string } | undefined)?.resourceVersion;
}

function isNews(seen: Map<string, string>, row: WireRow): boolean {
  const { uid = '' } = row.object?.metadata ?? {};
  const revision = revisionOf(row) ?? '';
  if (seen.get(uid) === revision) return false;
  seen.set(uid, revision);
  return true;
}

/** `berth api-resources` */
export async function apiResourcesCommand(o: AccessOptions): Promise<number> {
  return await withSession(o, async (s) => {
    const { all } = await s.resources();
    const rows = all.map((r) => [
      r.resource,
      r.shortNames.join(','),
      r.group === '' ? r.version : `${r.group}/${r.version}`,
      String(r.namespaced),
      r.kind,
    ]);
    s.out.write(textTable([['NAME', 'SHORTNAMES', 'APIVERSION', 'NAMESPACED', 'KIND'], ...rows]));
    return 0;
  });
}
