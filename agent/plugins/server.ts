/** Our end of protocols in which the plugin calls the node: a gRPC server on a unix socket that only root may use. */
import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { type Ctx, ERROR_KINDS, StatusError, toStatusError } from '#lib/base';

export interface PluginServer extends AsyncDisposable {
  readonly socket: string;
}

/** An answer by the name of its call; what it throws the caller is told. */
export type Answers = Readonly<Record<string, (request: unknown) => Promise<object>>>;

const REQUEST_BYTES_MAX = 1 << 20;

/** `services`: as a table of types gives them. A socket that an earlier agent left is replaced. */
export async function servePlugins(
  o: { readonly socket: string; readonly service: object; readonly answers: Answers },
  c: Ctx,
): Promise<PluginServer> {
  const server = new Server({ 'grpc.max_receive_message_length': REQUEST_BYTES_MAX, 'grpc.enable_channelz': 0 });
  const handlers: UntypedServiceImplementation = {};
  for (const [name, answer] of Object.entries(o.answers)) {
    const handler: handleUnaryCall<unknown, object> = (call, done) => {
      answer(call.request).then(
        (reply) => done(null, reply),
        (e: unknown) => {
          const { kind, message } = toStatusError(e);
          c.log.warn({ err: message, call: name }, 'a plugin was refused');
          done({ code: ERROR_KINDS[kind].grpc, details: message });
        },
      );
    };
    handlers[name] = handler;
  }
  server.addService(o.service as ServiceDefinition, handlers);
  await mkdir(dirname(o.socket), { recursive: true, mode: 0o750 });
  await rm(o.socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${o.socket}`, ServerCredentials.createInsecure(), (e) => {
      if (e === null) resolve();
      else reject(new StatusError('Unavailable', `cannot listen on ${o.socket}: ${e.message}`, { cause: e }));
    });
  });
  await chmod(o.socket, 0o600);
  return {
    socket: o.socket,
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
    },
  };
}
