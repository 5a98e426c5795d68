/** A cpio archive as the kernel reads its first root from. Source: linux Documentation/driver-api/early-userspace/buffer-format.rst. */

export interface CpioFile {
  /** Without a leading slash. */
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

const FOLDER = 0o040755;
const REGULAR = 0o100000;

/** Folders are made for files that need them. */
export function cpio(files: readonly CpioFile[]): Buffer {
  const parts: Buffer[] = [];
  const folders = new Set<string>();
  let inode = 1;
  const add = (path: string, mode: number, content: Buffer): void => {
    parts.push(entry(inode++, path, mode, content));
  };
  for (const f of files) {
    const names = f.path.split('/').slice(0, -1);
    for (const [i] of names.entries()) {
      const folder = names.slice(0, i + 1).join('/');
      if (folders.has(folder)) continue;
      folders.add(folder);
      add(folder, FOLDER, Buffer.alloc(0));
    }
    add(f.path, REGULAR | f.mode, f.content);
  }
  parts.push(entry(0, 'TRAILER!!!', 0, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

function entry(inode: number, path: string, mode: number, content: Buffer): Buffer {
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const head = Buffer.from(`070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([padded(Buffer.concat([head, name])), padded(content)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
