/**
 * Plugins that announce themselves: each socket in the registry's folder is asked what it is, handed to whoever deals with that
 * type, and told the outcome; when the socket goes, so does the plugin. Looked at when something in the folder changes, and every
 * ten seconds, when what has failed is tried again.
 * Source: kubernetes pkg/kubelet/pluginmanager (pluginwatcher, reconciler, operationexecutor).
 */
import { setMaxListeners } from 'node:events';
import { type FSWatcher, watch } from 'node:fs';
import { lstat, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError, Wake } from '#lib/base';
import { PluginClient, refuseNoSocket } from './client.ts';
import { type PluginInfo, type RegistrationService, registrationService } from './protocol.ts';
import { isBelow } from './root.ts';

export interface Plugin {
  readonly name: string;
  /** A socket below the root. */
  readonly endpoint: string;
  readonly versions: readonly string[];
}

export interface PluginHandler {
  /** Throws with what the plugin is told. Called again for a plugin whose socket was made anew. */
  register(plugin: Plugin, c: Ctx): Promise<void>;
  deregister(plugin: Plugin, c: Ctx): Promise<void>;
}

export interface PluginRegistryOptions {
  readonly root: string;
  readonly folder: string;
  /** By the type that plugins say they are of. */
  readonly handlers: Readonly<Record<string, PluginHandler>>;
}

const SOCKETS_MAX = 500;
const CHECK_MS = 10_000;
const CALL_MS = 1_000;
const SETTLE_MS = 20;

interface Known {
  /** Inode and time of the socket: another one is a plugin that was started anew. */
  readonly version: string;
  readonly plugin: Plugin | undefined;
  readonly handler: PluginHandler | undefined;
}

export class PluginRegistry {
  readonly #o: PluginRegistryOptions;
  readonly #service: RegistrationService = registrationService();
  readonly #known = new Map<string, Known>();
  /** What was last told of a socket that cannot be registered: said once. */
  readonly #mistakes = new Map<string, string>();
  /** Being asked now: a socket that hangs delays no other. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #changed = new Wake();

  constructor(o: PluginRegistryOptions) {
    this.#o = o;
  }

  /** Until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    const changed = this.#changed;
    // One for each plugin that is being asked.
    setMaxListeners(0, c.signal);
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(this.#o.folder, { persistent: false }, () => changed.kick());
      watcher.on('error', () => watcher?.close());
    } catch (e) {
      c.log.warn({ err: messageOf(e), folder: this.#o.folder }, 'plugins are looked for every ten seconds only');
    }
    try {
      for (;;) {
        changed.clear();
        await this.#look(c);
        await changed.sleepUntil(c.clock.now() + CHECK_MS, c);
        await c.clock.sleep(SETTLE_MS, c.signal);
      }
    } finally {
      watcher?.close();
      await Promise.allSettled(this.#busy.values());
    }
  }

  async #look(c: Ctx): Promise<void> {
    const names = (await readdir(this.#o.folder).catch(() => [])).filter((n) => !n.startsWith('.')).sort();
    const present = new Map<string, string>();
    for (const name of names.slice(0, SOCKETS_MAX)) {
      const found = await lstat(join(this.#o.folder, name), { bigint: true }).catch(() => undefined);
      if (found?.isSocket() === true) present.set(name, `${found.ino} ${found.ctimeNs}`);
    }
    for (const name of this.#mistakes.keys()) if (!present.has(name)) this.#mistakes.delete(name);
    for (const [name, known] of this.#known)
      if (present.get(name) !== known.version) await this.#forget(name, known, present.has(name), c);
    for (const [name, version] of present) {
      if (this.#known.has(name) || this.#busy.has(name)) continue;
      const work = this.#register(name, version, c).finally(() => {
        this.#busy.delete(name);
        /* It may have gone meanwhile. */
        if (this.#known.has(name)) this.#changed.kick();
      });
      this.#busy.set(name, work);
      work.catch(() => undefined);
    }
  }

  async #forget(name: string, known: Known, isReplaced: boolean, c: Ctx): Promise<void> {
    this.#known.delete(name);
    const { plugin, handler } = known;
    /* One that is there again registers over itself: its volumes need it. */
    if (plugin === undefined || handler === undefined || isReplaced) return;
    c.log.info({ plugin: plugin.name, socket: name }, 'a plugin has gone');
    await handler.deregister(plugin, c).catch((e: unknown) => {
      c.signal.throwIfAborted();
      c.log.warn({ err: messageOf(e), plugin: plugin.name }, 'a plugin was not deregistered');
    });
  }

  async #register(name: string, version: string, c: Ctx): Promise<void> {
    const socket = join(this.#o.folder, name);
    using client = new PluginClient(socket);
    try {
      await refuseNoSocket(socket);
      const info = await client.call(this.#service.GetInfo, {}, CALL_MS, c);
      const done = await this.#hand(socket, info, c).catch(async (e: unknown) => {
        const status = { plugin_registered: false, error: messageOf(e) };
        await client.call(this.#service.NotifyRegistrationStatus, status, CALL_MS, c).catch(() => undefined);
        throw e;
      });
      await client.call(this.#service.NotifyRegistrationStatus, { plugin_registered: true, error: '' }, CALL_MS, c);
      this.#known.set(name, { version, ...done });
      this.#mistakes.delete(name);
      c.log.info({ plugin: info.name, type: info.type, socket: name }, 'a plugin has registered');
    } catch (e) {
      c.signal.throwIfAborted();
      const message = messageOf(e);
      if (this.#mistakes.get(name) === message) return;
      this.#mistakes.set(name, message);
      c.log.warn({ err: message, socket: name }, 'a plugin could not be registered');
    }
  }

  async #hand(socket: string, info: PluginInfo, c: Ctx): Promise<{ plugin: Plugin; handler: PluginHandler }> {
    const handler = Object.hasOwn(this.#o.handlers, info.type) ? this.#o.handlers[info.type] : undefined;
    if (handler === undefined)
      throw new StatusError(
        'Invalid',
        `RegisterPlugin error -- no handler registered for plugin type: ${info.type} at socket ${socket}`,
      );
    const endpoint = await this.#endpoint(info.endpoint === '' ? socket : info.endpoint);
    const plugin = { name: info.name, endpoint, versions: info.supported_versions };
    await handler.register(plugin, c);
    return { plugin, handler };
  }

  /** The plugin says where it listens: nothing outside the folder that drivers are given. */
  async #endpoint(said: string): Promise<string> {
    const path = said.replace(/^unix:\/\//, '');
    const folder = await realpath(join(path, '..')).catch(() => undefined);
    const root = await realpath(this.#o.root);
    if (!path.startsWith('/') || folder === undefined || !isBelow(folder, root))
      throw new StatusError('Invalid', `plugin endpoint ${said} is not below ${this.#o.root}`);
    await refuseNoSocket(path);
    return path;
  }
}
