export type { IndexFunction } from './indexed-cache.ts';
export * from './informer.ts';
