export * from './client.ts';
export * from './handler.ts';
