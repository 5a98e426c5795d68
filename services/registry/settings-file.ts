/**
 * The settings as they stand in the server's configuration file, read again when it changes. A registry does not start with a file
 * that is not valid: it could let in more than it was told to. Later such a file changes nothing and is told once.
 */
import { readFile } from 'node:fs/promises';
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import { DEFAULT_SETTINGS, type RegistrySettings } from './settings.ts';

const LOOK_MS = 2_000;

export class SettingsFile {
  readonly #path: string;
  #now: RegistrySettings;
  /** undefined: no file. */
  #taken: string | undefined;
  #seen: string | undefined;
  #complaint = '';

  private constructor(path: string, text: string | undefined, now: RegistrySettings) {
    this.#path = path;
    this.#taken = text;
    this.#seen = text;
    this.#now = now;
  }

  /** Throws BadRequest that names the file and every mistake. */
  static async open(path: string): Promise<SettingsFile> {
    const text = await readText(path);
    return new SettingsFile(path, text, await parsed(path, text));
  }

  get now(): RegistrySettings {
    return this.#now;
  }

  /** Until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    while (!c.signal.aborted) {
      await c.clock.sleep(LOOK_MS, c.signal).catch(() => undefined);
      if (!c.signal.aborted) await this.look(c);
    }
  }

  /** A change is taken when it is the same at two looks: an editor may write a file in pieces. */
  async look(c: Pick<Ctx, 'log'>): Promise<void> {
    try {
      const text = await readText(this.#path);
      const isSettled = text === this.#seen;
      this.#seen = text;
      if (text === this.#taken || !isSettled) return;
      this.#taken = text;
      this.#now = await parsed(this.#path, text);
      this.#complaint = '';
      c.log.info({}, 'settings of the registry taken up');
    } catch (e) {
      const err = messageOf(e);
      if (err !== this.#complaint) c.log.error({ err }, 'the settings cannot be used: what held before still holds');
      this.#complaint = err;
    }
  }
}

async function parsed(path: string, text: string | undefined): Promise<RegistrySettings> {
  if (text === undefined) return DEFAULT_SETTINGS;
  try {
    // Loaded when there is a file: most registries have none, and mostly idle.
    return await (await import('./read-settings.ts')).parseSettings(text);
  } catch (e) {
    if (!isKind(e, 'BadRequest')) throw e;
    throw new StatusError('BadRequest', `${path}: ${e.message}`, { cause: e });
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw new StatusError('Invalid', `cannot read ${path}: ${messageOf(e)}`, { cause: e });
  }
}
