export * from './keys.ts';
export * from './memory.ts';
export * from './store.ts';
export { indexOf, modRevisionOf } from './store-errors.ts';
