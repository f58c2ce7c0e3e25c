import { availableParallelism } from 'node:os'
import { transform } from 'esbuild'
import { defineConfig, type Plugin } from 'vitest/config'
import { CountsReporter } from './test/helpers/counts-reporter.ts'

const source = (path: string): string => new URL(`./src/${path}`, import.meta.url).pathname

/** Vitest lowers only the legacy decorators; files that carry standard ones go through esbuild. */
const standardDecorators: Plugin = {
  name: 'standard-decorators',
  enforce: 'pre',
  transform(code, id) {
    if (!id.endsWith('.standard.test.ts')) return undefined
    return transform(code, { loader: 'ts', target: 'es2022', sourcefile: id, sourcemap: true })
  },
}

export default defineConfig({
  plugins: [standardDecorators],
  resolve: {
    alias: [
      { find: /^tidemark$/, replacement: source('index.ts') },
      { find: /^tidemark\/fastify$/, replacement: source('adapters/fastify/index.ts') },
      { find: /^tidemark\/testing$/, replacement: source('testing/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', new CountsReporter()],
    pool: 'forks',
    // Most tests wait for a server or for time, so that two files at once cost little even on two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 20_000,
    hookTimeout: 30_000,
    restoreMocks: true,
    coverage: { include: ['src/**/*.ts'] },
  },
})
