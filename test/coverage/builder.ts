/** Dockerfile builder and registry. */
import { type Line, real, unit } from './clause.ts';

const BUILD = 'test/integration/build.test.ts';
const PLATFORMS = 'test/integration/build-platforms.test.ts';
const CACHES = 'test/integration/build-cache.test.ts';
const SSH = 'test/integration/build-ssh.test.ts';
const HOSTILE = 'test/integration/build-hostile.test.ts';
const DOCKER = 'test/e2e/docker-build.test.ts';
const PARSE = 'agent/build/dockerfile/parse.test.ts';
const SOLVER = 'agent/build/solve/solver.test.ts';
const CLUSTER = 'test/e2e/registry.test.ts';
const SKOPEO = 'test/integration/registry.test.ts';
const COLLECTION = 'test/integration/registry-collection.test.ts';
const BUCKET = 'test/integration/registry-s3.test.ts';
const PROTOCOL = 'services/registry/registry.test.ts';
const COLLECTOR = 'services/registry/collection/collector.slow.test.ts';
const ACCESS = 'services/registry/access/access.test.ts';
const UPSTREAMS = 'services/registry/upstream/upstreams.slow.test.ts';

export const BUILDER: Line = {
  title: 'Builder',
  clauses: [
    unit('all of Dockerfile: a table of more than 300 cases', [
      [PARSE, 'an instruction knows its lines'],
      [PARSE, 'any text: a Dockerfile, or an error'],
    ]),
    real('multi-stage, --target, ARG and ENV', [
      [BUILD, 'stages, variables, a cached rebuild, a changed file'],
      [DOCKER, 'docker build: several stages'],
      [DOCKER, 'docker build: build args'],
    ]),
    real('COPY and ADD: owners, modes, archives, URLs with checksum', [
      [BUILD, 'USER, WORKDIR, ownership of COPY'],
      [BUILD, 'ADD: archives unpacked with their owners'],
      [DOCKER, 'COPY --from keeps the capabilities of a file'],
    ]),
    real('RUN --mount', [
      [BUILD, 'mounts of a RUN: bind, cache, tmpfs, secret, here-document'],
      [DOCKER, 'cache mounts: kept between builds'],
    ]),
    real('RUN --mount=type=ssh', [
      [SSH, 'listed, and what it signs is verified'],
      [
        SSH,
        'the agent lists and signs, loses no key, is in no layer, and leaves nothing; a rebuild without it is cached',
      ],
      [SSH, 'a key with a passphrase, what is no key, no socket'],
    ]),
    real('.dockerignore', [[DOCKER, 'docker build: what .dockerignore names is not there']]),
    real('cache by content, shared between builds and stages', [
      [DOCKER, 'docker build: a second one is all from the cache'],
      [BUILD, 'stages, variables, a cached rebuild, a changed file'],
    ]),
    unit('stages side by side; unused ones are not built', [[SOLVER, 'side by side']]),
    real('--cache-from, cache export to and import from a registry', [
      [CACHES, 'mode=max: nothing is run again, and the image is the same'],
      [CACHES, 'only what changed, and what stands on it, is made'],
      [CACHES, 'mode=min: the steps of the image alone'],
      [CACHES, 'inline: the image that was pushed is its own cache'],
      [CACHES, 'a layer that holds other bytes than the step says'],
    ]),
    real('build, push, set image, rollout on three nodes', [
      [
        'test/e2e/rollout.test.ts',
        'berth build --push, kubectl set image, rollout status: every node runs what was built',
      ],
    ]),
    real(
      'platforms other than the machine’s',
      [
        [PLATFORMS, 'the index names both, and a base is the one of the platform that is built for'],
        [PLATFORMS, 'cross-building: a stage of this machine makes what the image of another gets'],
        [PLATFORMS, 'a program of another machine is refused with what to do'],
        [CLUSTER, '--platform a,b --push: one name, an image of each'],
      ],
      { note: 'no emulation (binfmt) here: that RUN works with it was not seen' },
    ),
    real('cache bounded and pruned', [[DOCKER, 'build prune: steps that no image needs go']]),
    real('same input, same digest', [[BUILD, 'the same image in another home, at another time: SOURCE_DATE_EPOCH']]),
    real('isolated steps with limits, network off if asked', [
      [DOCKER, 'docker build: --shm-size, --ulimit, --add-host, --memory, --network none'],
      [BUILD, 'USER, WORKDIR, ownership of COPY, network none'],
    ]),
    real('docker build by the Engine API', [
      [DOCKER, 'docker build: --iidfile, -q, a Dockerfile or an archive on stdin'],
      [DOCKER, 'docker build: a step that fails ends the CLI with its code'],
    ]),
    real('berth build --push, and the cluster runs it', [[CLUSTER, 'builds on the image of the sample, pushes']]),
    real('errors show lines and output', [
      [BUILD, 'a RUN that fails: its output, its code and its lines'],
      [DOCKER, 'docker build: mistakes are told before anything is built'],
    ]),
    real('output to store, registry, OCI layout, docker archive', [[BUILD, 'archives that other tools read']]),
    real('a cancel leaves nothing', [
      [BUILD, 'a cancel ends all processes of the step'],
      [DOCKER, 'build: a client that goes away, or cancels'],
    ]),
    real('hostile contexts and steps', [
      [DOCKER, 'build: an archive that leads out of itself'],
      [HOSTILE, 'a folder above that has become a link out is not followed'],
      [HOSTILE, 'names that climb are clipped'],
    ]),
    real('more than 120 layers', [[BUILD, 'more than 120 layers']]),
  ],
};

export const REGISTRY: Line = {
  title: 'Registry',
  clauses: [
    real('push and pull by skopeo', [
      [SKOPEO, 'push, inspect, list tags, copy back'],
      [SKOPEO, 'Docker schema 2 and whole indexes'],
      [CLUSTER, 'copies out, in again under another name'],
    ]),
    unit('uploads: monolithic, chunked, resumed', [
      [PROTOCOL, 'POST then PUT'],
      [PROTOCOL, 'chunks in order; out of order'],
      [PROTOCOL, 'an upload survives a restart of the registry'],
    ]),
    real('cross-repository mount', [[SKOPEO, 'a layer that another repository has is mounted or found']]),
    unit('tags in pages, referrers, deletion', [
      [PROTOCOL, 'tags sorted and in pages'],
      [PROTOCOL, 'referrers: none, some, filtered'],
      [PROTOCOL, 'delete a tag, then a digest with its tags'],
    ]),
    unit('manifests: sizes, types, missing blobs', [[PROTOCOL, 'refused: what is not JSON']]),
    unit('ten thousand tags', [['services/registry/hostile.slow.test.ts', 'ten thousand tags']]),
    real('killed in a push: no acknowledged blob is lost', [
      [SKOPEO, 'kill -9 in the middle of a push'],
      [COLLECTION, 'killed while it collects and takes pushes'],
    ]),
    real('the disk full in a push', [[SKOPEO, 'registry: a full disk is told']]),
    unit('collection beside pushes, mounts, deletes, pulls', [
      [COLLECTOR, 'garbage collection beside pushes'],
      [COLLECTOR, 'what no manifest names goes'],
    ]),
    unit('retention knows what the cluster runs', [
      ['services/registry/collection/retention.test.ts', 'retention and collection of a registry: what runs stays'],
    ]),
    unit('quotas', [['services/registry/quotas.test.ts', 'pushes up to the quota, side by side']]),
    unit('access: public read, tokens, rights of the cluster', [
      [ACCESS, 'from outside nothing, or with publicRead pulls alone'],
      [ACCESS, 'a machine of the cluster pulls and pushes'],
      [ACCESS, 'a token that was not asked to cover it'],
    ]),
    unit('pull-through cache', [
      [UPSTREAMS, 'the first pull brings it'],
      [UPSTREAMS, '429 is obeyed'],
    ]),
    real(
      'S3 as a second driver',
      [
        [BUCKET, 'content store in a bucket'],
        [BUCKET, 'what passes is tried again'],
        [BUCKET, 'a registry on a bucket: push, pull, restart, collection'],
      ],
      { note: 'against a server written for the test, which checks signatures by its own code; no other S3 here' },
    ),
  ],
};
