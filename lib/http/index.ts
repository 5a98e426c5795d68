export { type BodyReader, readBody } from './body.ts';
export { type ChannelDial, type DialledChannels, dialChannels } from './channel-client.ts';
export { acceptWebSocketChannels, type ChannelConnection, type ChannelOptions, offeredProtocols } from './channels.ts';
export { acceptPortForward, type PortForwardConnection, type PortForwardPair } from './port-forward.ts';
export { acceptRemoteCommand, type RemoteOutcome, type RemoteStreams, statusOfOutcome } from './remote-command.ts';
export { createHttpServer, type HttpServer, type HttpServerOptions, type TlsOptions } from './server.ts';
export { type SpdyConnection, type SpdyStream, spdyConnection } from './spdy.ts';
export { acceptSpdy } from './spdy-accept.ts';
export { hijack, isUpgrade, refuseUpgrade, upgradeOf } from './upgrade.ts';
