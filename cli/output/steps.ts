/** One line a step, with its time: a spinner on a terminal (ora), plain lines elsewhere. */
import ora from 'ora';
import { type Clock, messageOf } from '#lib/base';

export interface Steps {
  /** Runs `fn` as a step; its result may give the text that is shown when it is done. */
  run<T>(title: string, fn: (say: (text: string) => void) => Promise<T>): Promise<T>;
}

export function createSteps(clock: Clock, out: NodeJS.WriteStream = process.stdout): Steps {
  return {
    async run(title, fn) {
      const begin = clock.monotonic();
      let shown = title;
      const spinner = out.isTTY ? ora({ text: title, stream: out }).start() : undefined;
      const say = (text: string): void => {
        shown = text;
        if (spinner !== undefined) spinner.text = text;
      };
      const time = (): string => `${((clock.monotonic() - begin) / 1000).toFixed(1)}s`;
      try {
        const result = await fn(say);
        if (spinner === undefined) out.write(`ok   ${shown} (${time()})\n`);
        else spinner.succeed(`${shown} (${time()})`);
        return result;
      } catch (e) {
        if (spinner === undefined) out.write(`FAIL ${shown}: ${messageOf(e)}\n`);
        else spinner.fail(`${shown}: ${messageOf(e)}`);
        throw e;
      }
    },
  };
}
