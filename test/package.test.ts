/** The tarball, installed into an empty project: what it holds, and that it works from ESM, CommonJS and TypeScript. */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROOT, buildPackage, run, temporaryFolder, tsc, type Outcome } from './helpers/stranger.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Manifest
const pinned = (name: string): string => `${name}@${manifest.devDependencies[name]}`

let folder: string
let project: string
let packed: string[]

/** `npm`, without what the npm that runs this test has put into the environment about this repository. */
async function npm(args: readonly string[], cwd: string): Promise<Outcome> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?:package|lifecycle|config_local_prefix)/.test(name)),
  )
  const outcome = await run('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd, env })
  if (outcome.code !== 0) throw new Error(`npm ${args.join(' ')}:\n${outcome.stderr}`)
  return outcome
}

/** What `npm pack` puts into the tarball; it is written only if a destination is given. */
async function filesPackedFrom(directory: string, ...args: readonly string[]): Promise<string[]> {
  const destination = args.length > 0 ? args : ['--dry-run']
  const { stdout } = await npm(['pack', '--json', '--ignore-scripts', ...destination], directory)
  const [tarball] = JSON.parse(stdout) as { files: { path: string }[] }[]
  return tarball?.files.map(({ path }) => path) ?? []
}

function install(...packages: readonly string[]): Promise<Outcome> {
  return npm(['install', '--prefer-offline', ...packages], project)
}

/** Runs a program in the project and returns the value of the JSON it printed last. */
async function valueOf(file: string, source: string): Promise<unknown> {
  await writeFile(join(project, file), source)
  const { code, stdout, stderr } = await run(process.execPath, [file], { cwd: project, timeoutMs: 30_000 })
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

beforeAll(async () => {
  folder = await temporaryFolder()
  const library = join(folder, 'library')
  await buildPackage(library)
  packed = await filesPackedFrom(library, '--pack-destination', folder)

  project = join(folder, 'project')
  await mkdir(project)
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'stranger', private: true }))
  await install(join(folder, `${manifest.name}-${manifest.version}.tgz`))
}, 180_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

describe('the tarball', () => {
  test('holds what was built, as JavaScript and types', () => {
    const built = packed.filter((path) => path.startsWith('dist/'))
    expect(built).toContain('dist/index.js')
    expect(built.filter((path) => !/\.(?:js|d\.ts)$/.test(path))).toEqual([])
  })

  test('holds the documents a package has, and nothing else of the repository', async () => {
    const rest = (await filesPackedFrom(ROOT)).filter((path) => !/^(?:dist|docs|examples|bench\/results)\//.test(path))
    expect(rest.toSorted()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'bench/findings.md', 'package.json'])
  })

  test('holds whatever its documents link to', async () => {
    const files = await filesPackedFrom(ROOT)
    const isThere = (path: string): boolean => files.some((file) => file === path || file.startsWith(`${path}/`))
    const documents = files.filter((file) => file.endsWith('.md'))
    expect(documents.length).toBeGreaterThan(8)
    for (const file of documents) {
      const text = await readFile(join(ROOT, file), 'utf8')
      const links = Array.from(text.matchAll(/\]\((?![a-z]+:)([^)\s#]+)[^)]*\)/g), ([, link]) =>
        posix.join(dirname(file), link!),
      )
      expect([file, links.filter((link) => !isThere(link))]).toEqual([file, []])
    }
  })
})

describe('in an empty project', () => {
  test('brings no framework with it: those are for the user to choose', async () => {
    const installed = await readdir(join(project, 'node_modules'))
    expect(installed).toContain('tidemark')
    expect(installed).not.toContain('fastify')
    expect(installed).not.toContain('redis')
  })

  test('can be imported from ESM', async () => {
    const source = `
      import { createCache } from 'tidemark'
      const cache = createCache()
      await cache.set('answer', { n: 42 }, { ttl: '1m' })
      console.log(JSON.stringify([await cache.get('answer'), (await cache.get('nothing')) === undefined]))
      await cache.close()`
    expect(await valueOf('use.mjs', source)).toEqual([{ n: 42 }, true])
  })

  test('can be required from CommonJS', async () => {
    const source = `
      const { createCache } = require('tidemark')
      const cache = createCache()
      cache.set('answer', 42).then(() => cache.get('answer')).then(async (value) => {
        await cache.close()
        console.log(JSON.stringify(value))
      })`
    expect(await valueOf('use.cjs', source)).toBe(42)
  })

  test('ends by itself once the cache is closed', async () => {
    const source = `import { createCache } from 'tidemark'\nawait createCache().close()\nconsole.log('"closed"')`
    expect(await valueOf('close.mjs', source)).toBe('closed')
  })
})

describe('beside Fastify and TypeScript', () => {
  beforeAll(() => install(pinned('fastify'), pinned('@types/node')), 180_000)

  test('tidemark/fastify caches a route', async () => {
    const source = `
      import Fastify from 'fastify'
      import { setupCache, cached } from 'tidemark/fastify'
      const app = Fastify()
      const cache = setupCache(app)
      app.get('/items', cached(cache, { ttl: 60, namespace: 'items' }), async () => ({ items: [] }))
      const first = await app.inject('/items')
      const second = await app.inject('/items')
      await app.close()
      console.log(JSON.stringify([first.headers['x-cache'], second.headers['x-cache'], second.json()]))`
    expect(await valueOf('route.mjs', source)).toEqual(['MISS', 'HIT', { items: [] }])
  })

  test('every entry point can be imported and required', async () => {
    const entries = Object.keys(manifest.exports).filter((path) => path !== './package.json')
    const names = entries.map((path) => path.replace(/^\./, manifest.name))
    const imported = `
      const counts = {}
      for (const name of ${JSON.stringify(names)}) counts[name] = Object.keys(await import(name)).length > 0
      console.log(JSON.stringify(counts))`
    const required = `
      const counts = {}
      for (const name of ${JSON.stringify(names)}) counts[name] = Object.keys(require(name)).length > 0
      console.log(JSON.stringify(counts))`
    const all = Object.fromEntries(names.map((name) => [name, true]))
    expect(await valueOf('entries.mjs', imported)).toEqual(all)
    expect(await valueOf('entries.cjs', required)).toEqual(all)
  })

  test('its types hold in an ES module and in a CommonJS one, with libraries checked too', async () => {
    const source = `
      import Fastify from 'fastify'
      import { createCache, type CacheManager } from 'tidemark'
      import { cached, setupCache } from 'tidemark/fastify'

      export async function main(): Promise<string | undefined> {
        const cache: CacheManager = createCache({ cache: { defaultTtl: '5m' } })
        await cache.set('user_1', { name: 'Ada' }, { ttl: 60, tags: ['users'] })
        const app = Fastify()
        app.get('/items', cached(setupCache(app), { ttl: 60 }), async () => ({ items: [] }))
        // @ts-expect-error a ttl is a number of seconds or a string with a unit
        await cache.set('user_1', { name: 'Ada' }, { ttl: true })
        const user = await cache.get<{ name: string }>('user_1')
        // @ts-expect-error what is not there is undefined
        user.name.toUpperCase()
        return user?.name
      }`
    await writeFile(join(project, 'types-esm.mts'), source)
    await writeFile(join(project, 'types-cjs.cts'), source)
    const options = { module: 'nodenext', target: 'es2023', strict: true, noEmit: true, types: ['node'] }
    const config = { compilerOptions: options, files: ['types-esm.mts', 'types-cjs.cts'] }
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config))
    expect(await tsc(['-p', '.'], project)).toEqual({ code: 0, stdout: '', stderr: '' })
  })
})
