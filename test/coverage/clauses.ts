/** All clauses of what the node must do, by the numbered lines of its issue. */
import type { Line } from './clause.ts';
import { ENVIRONMENT, POD_LIFE, PROBE_LINE, SURVIVAL } from './pods.ts';

export const LINES: readonly Line[] = [POD_LIFE, PROBE_LINE, ENVIRONMENT, SURVIVAL];
