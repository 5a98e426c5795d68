/** Which events a client asked for. Source: moby daemon/events/filter.go. */
import type { Filters } from '../http/filters.ts';
import type { EngineEvent } from '../parts.ts';

export const EVENT_FILTERS = [
  ...['config', 'container', 'daemon', 'event', 'image', 'label', 'network', 'node', 'plugin', 'scope'],
  ...['secret', 'service', 'type', 'volume'],
] as const;

/** Filters that compare, by its beginning, the id of who acted or its name, of whatever type it is. */
const BY_ACTOR = ['container', 'daemon', 'plugin', 'volume', 'network', 'node', 'service', 'secret', 'config'] as const;
/** Actions that go on behind a colon: asked for without one they stand for all. */
const OPEN_ACTIONS: ReadonlySet<string> = new Set(['health_status', 'exec_create', 'exec_start']);
export const SCOPE = 'local';

export function matches(e: EngineEvent, f: Filters): boolean {
  const name = e.attributes['name'] ?? '';
  return (
    hasAction(e.action, f) &&
    f.isExact('type', e.type) &&
    f.isExact('scope', SCOPE) &&
    BY_ACTOR.every((key) => startsWithOne(e.id, key, f) || startsWithOne(name, key, f)) &&
    isOfImage(e, f) &&
    f.hasLabels(e.attributes)
  );
}

function hasAction(action: string, f: Filters): boolean {
  const asked = f.get('event');
  return asked.some((a) => OPEN_ACTIONS.has(a)) ? startsWithOne(action, 'event', f) : f.isExact('event', action);
}

function startsWithOne(text: string, key: string, f: Filters): boolean {
  return !f.has(key) || f.get(key).some((beginning) => text.startsWith(beginning));
}

/** Of an image itself, or of a container made of it; with or without its tag. */
function isOfImage(e: EngineEvent, f: Filters): boolean {
  if (!f.has('image')) return true;
  const name = e.attributes[e.type === 'image' ? 'name' : 'image'] ?? '';
  return [e.id, name, withoutTag(e.id), withoutTag(name)].some((text) => f.get('image').includes(text));
}

function withoutTag(name: string): string {
  return name.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
}
