// Clients generated from the contracts.

import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { join } from 'node:path';

/** Where the contracts are. */
export const PROTO = join(import.meta.dirname, '../../../../../proto');

const files = ['realtime/realtime.proto', 'unistream/unistream.proto'];
const definition = loadSync(files, { includeDirs: [PROTO], keepCase: true, longs: Number });
const packages = grpc.loadPackageDefinition(definition);

export const { Realtime } = packages.gyre.realtime.v1;
export const { CentrifugoUniStream } = packages.centrifugal.centrifugo.unistream;
