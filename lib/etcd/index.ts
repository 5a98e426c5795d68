export type { ChannelOptions } from './channel.ts';
export * from './client.ts';
export type { EtcdTls } from './connection.ts';
export * from './messages.ts';
export { isRecoverable, RpcError } from './rpc-error.ts';
