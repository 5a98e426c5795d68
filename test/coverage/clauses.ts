/** All clauses of what the node must do, by the numbered lines of its issue, and those of the engine, the builder and the registry. */
import { BUILDER, REGISTRY } from './builder.ts';
import type { Line } from './clause.ts';
import { ENGINE_CONTAINERS, ENGINE_IMAGES, ENGINE_NETWORKS, ENGINE_SYSTEM } from './engine.ts';
import { HOSTILE_LINE, ISOLATION_LINE, METRIC_LINE, NODE_LINE, RESOURCE_LINE, STREAM_LINE } from './node.ts';
import { ENVIRONMENT, POD_LIFE, PROBE_LINE, SURVIVAL } from './pods.ts';
import { FURTHER_ROWS } from './rows.ts';
import { IMAGE_LINE, VOLUME_LINE } from './storage.ts';

const TABLES: readonly Line[] = [
  POD_LIFE,
  PROBE_LINE,
  IMAGE_LINE,
  ENVIRONMENT,
  VOLUME_LINE,
  RESOURCE_LINE,
  ISOLATION_LINE,
  STREAM_LINE,
  METRIC_LINE,
  NODE_LINE,
  SURVIVAL,
  HOSTILE_LINE,
  ENGINE_CONTAINERS,
  ENGINE_IMAGES,
  ENGINE_NETWORKS,
  ENGINE_SYSTEM,
  BUILDER,
  REGISTRY,
];

export const LINES: readonly Line[] = TABLES.map(({ title, clauses }) => ({
  title,
  clauses: clauses.map((c) => {
    const further = FURTHER_ROWS[`${title}: ${c.clause}`] ?? [];
    return further.length === 0 ? c : { ...c, rows: [...(c.rows ?? []), ...further] };
  }),
}));
