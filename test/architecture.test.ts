import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ROWS, circles, layerFaults, nameFaults, pathFaults, suppressionFaults } from './helpers/architecture.ts'

const root = new URL('../', import.meta.url)

function filesBelow(folder: string, pattern: RegExp): string[] {
  return readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => pattern.test(path) && !/(?:^|\/)(?:dist|node_modules)\//.test(path))
}

function read(path: string): string {
  return readFileSync(new URL(path, root), 'utf8')
}

const sources = new Map(filesBelow('src/', /\.ts$/).map((path) => [path, read(`src/${path}`)]))
const otherFiles = ['test', 'bench', 'examples', 'scripts']
  .filter((folder) => existsSync(new URL(folder, root)))
  .flatMap((folder) => filesBelow(`${folder}/`, /\.(?:ts|mjs|js)$/).map((path) => `${folder}/${path}`))

/** One made-up file and what it holds. */
function only(file: string, source: string): Map<string, string> {
  return new Map([[file, source]])
}

describe('the layers of src/', () => {
  test('there are sources to look at', () => {
    expect([...sources.keys()]).toContain('stores/store.ts')
  })

  test('arrows point down only, and each package is used in one place', () => {
    expect(layerFaults(sources)).toEqual([])
  })

  test('there is no circle', () => {
    expect(circles(sources)).toEqual([])
  })

  test('no row lists a unit twice', () => {
    const units = ROWS.flat()
    expect(units).toEqual([...new Set(units)])
  })
})

describe('names and suppressions', () => {
  test('files, folders and types are named for what they hold', () => {
    expect(nameFaults(sources)).toEqual([])
  })

  test('tests, benchmarks, examples and scripts are kebab-case', () => {
    expect(otherFiles.flatMap(pathFaults)).toEqual([])
  })

  test('a suppression gives its reason', () => {
    const files = [...Array.from(sources.keys(), (path) => `src/${path}`), ...otherFiles]
    const judged = files.filter((file) => !file.includes('architecture'))
    expect(judged.flatMap((file) => suppressionFaults(file, read(file)))).toEqual([])
  })
})

describe('the guard itself', () => {
  test.each([
    ['an import', 'stores/memory.ts', `import { CacheManager } from '../cache-manager.ts'`],
    ['a type import', 'stores/memory.ts', `import type { CacheManager } from '../cache-manager.ts'`],
    ['an import over several lines', 'entry.ts', `import {\n  a,\n  b,\n} from './load.ts'`],
    ['a re-export', 'entry.ts', `export * from './codec/codec.ts'`],
    ['a bare import', 'codec/codec.ts', `import '../stores/store.ts'`],
    ['a dynamic import', 'codec/codec.ts', `const load = () => import('../stores/store.ts')`],
    ['a type query', 'codec/codec.ts', `let store: import('../stores/store.ts').Store`],
    ['an edge', 'cached.ts', `import { rateLimit } from './rate-limit.ts'`],
    ['the front door', 'adapters/fastify/plugin.ts', `import { createCache } from '../../index.ts'`],
    ['the testing edge', 'cache-manager.ts', `import { suite } from './testing/index.ts'`],
    ['another adapter', 'adapters/fastify/plugin.ts', `import { capture } from '../express/capture.ts'`],
    ['a neighbour', 'cached.ts', `import { policy } from './http/policy.ts'`],
    ['a tier above', 'stores/redis/client.ts', `import { TieredStore } from '../tiered.ts'`],
    ['a framework outside its adapter', 'http/policy.ts', `import type { FastifyRequest } from 'fastify'`],
    ['a subpath of a package', 'http/policy.ts', `import type { Redis } from 'ioredis/built/redis.js'`],
    ['a package nobody listed', 'codec/codec.ts', `import { pack } from 'msgpackr'`],
    ['a file without a layer', 'stray.ts', ''],
  ])('sees %s', (_, file, source) => {
    const faults = layerFaults(only(file, source))
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(file)
  })

  test.each([
    ['down', 'cache-manager.ts', `import type { Store } from './stores/store.ts'`],
    ['within a folder', 'stores/redis/redis-store.ts', `import { run } from './scripts.ts'`],
    ['between leaves', 'key.ts', `import { CacheKeyError } from './exceptions.ts'`],
    [
      'from an adapter to management',
      'adapters/fastify/plugin.ts',
      `import { routes } from '../../management/routes.ts'`,
    ],
    ['to Node', 'events.ts', `import { channel } from 'node:diagnostics_channel'`],
    ['to its own package', 'stores/entry-table.ts', `import { LRUCache } from 'lru-cache'`],
    ['in a docstring', 'codec/codec.ts', `/**\n * import { Store } from '../stores/store.ts'\n */`],
  ])('lets an arrow pass: %s', (_, file, source) => {
    expect(layerFaults(only(file, source))).toEqual([])
  })

  test('sees a circle, of types too, and names it once', () => {
    const circle = new Map([
      ['a.ts', `import './b.ts'`],
      ['b.ts', `import type { C } from './c.ts'`],
      ['c.ts', `export { a } from './a.ts'`],
      ['d.ts', `import './a.ts'`],
    ])
    expect(circles(circle)).toEqual(['a.ts → b.ts → c.ts → a.ts'])
  })

  test.each([
    ['stores/memoryStore.ts', ''],
    ['stores/utils.ts', ''],
    ['helpers/time.ts', ''],
    ['stores/base-store.ts', ''],
    ['stores/store-impl.ts', ''],
    ['stores/memory.ts', 'export abstract class BaseStore {}'],
    ['stores/memory.ts', 'class StoreImpl {}'],
    ['stores/memory.ts', 'export interface IStore {}'],
    ['stores/memory.ts', 'type AbstractStore = object'],
  ])('refuses a name: %s %s', (file, source) => {
    expect(nameFaults(only(file, source))).toHaveLength(1)
  })

  test('accepts names that only look alike', () => {
    expect(
      nameFaults(only('stores/memory.ts', 'interface Iterated {}\ntype IPAddress = string\nclass Baseline {}')),
    ).toEqual([])
  })

  test('sees a suppression without a reason, and accepts one with', () => {
    expect(suppressionFaults('a.ts', '// oxlint-disable-next-line no-console')).toHaveLength(1)
    expect(suppressionFaults('a.ts', '// @ts-expect-error')).toHaveLength(1)
    expect(suppressionFaults('a.ts', '// oxlint-disable-next-line no-console -- the CLI prints')).toEqual([])
    expect(suppressionFaults('a.ts', '// @ts-expect-error a bare number is no key')).toEqual([])
  })
})
