export * from './digest.ts';
export * from './pack.ts';
