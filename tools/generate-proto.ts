/** Makes proto/gen (types only) from the .proto files: `tsx tools/generate-proto.ts [folder]`. proto/gen.test.ts compares. */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The options mirror those of proto/load.ts. */
export function generateProto(outFolder: string): void {
  const options = ['--keepCase', '--longs=String', '--enums=String', '--defaults', '--oneofs'];
  const files = ['proto/agent.proto', 'proto/streams.proto'];
  execFileSync(
    join(root, 'node_modules/.bin/proto-loader-gen-types'),
    [...options, '--grpcLib=@grpc/grpc-js', '--importFileExtension=.ts', `--outDir=${outFolder}`, ...files],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generateProto(process.argv[2] ?? join(root, 'proto/gen'));
