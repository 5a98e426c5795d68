export * from './bus.ts';
export * from './memory.ts';
export { NatsBus, type NatsCredentials, type NatsOptions } from './nats.ts';
export * from './subjects.ts';
