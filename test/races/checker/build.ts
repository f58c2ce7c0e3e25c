/** Bundles what the processes run: Node runs no TypeScript. A mutant is made here, from the library's own source. */
import { existsSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { extname, join, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { WITH_PACKAGES } from '../../helpers/esbuild-options.mjs'
import { UsageError } from '../command-line.ts'
import type { Contestant } from './contestant.ts'
import { mutating, type Mutant } from './mutants.ts'

/** The contestants that come with the checker. */
const OWN_CONTESTANTS = ['tidemark', 'naive', 'lock']

export interface Built {
  /** The program of a process. */
  readonly program: string
  readonly contestantUrl: string
  readonly contestant: Contestant
}

export interface BuildOptions {
  /** Where the sources of the checker lie. */
  readonly sources: URL
  readonly directory: string
  /** A name of OWN_CONTESTANTS, or the path of a module. */
  readonly contestant: string
  readonly mutant: Mutant | undefined
}

/** @throws {UsageError} for a contestant that is none */
export async function buildProcess({ sources, directory, contestant, mutant }: BuildOptions): Promise<Built> {
  const program = await bundle(fileURLToPath(new URL('process.ts', sources)), directory, [])
  const isOwn = OWN_CONTESTANTS.includes(contestant)
  const path = isOwn ? fileURLToPath(new URL(`contestants/${contestant}.ts`, sources)) : resolve(contestant)
  if (!existsSync(path)) {
    const names = `${OWN_CONTESTANTS.join(', ')} or the path of a module`
    throw new UsageError(`--contestant: expected ${names}, got '${contestant}', and there is no such file`)
  }
  const mutation = mutant && mutating(mutant, new URL('../../../src/', sources))
  // Another's module finds its packages from where it lies.
  const isBundled = mutation !== undefined || extname(path) === '.ts'
  const module = await asContestant(contestant, async () =>
    isBundled ? bundle(path, directory, mutation === undefined ? [] : [mutation.plugin]) : path,
  )
  mutation?.assertMade()
  return { program, ...module }
}

/** What the module is whose path `build` resolves to. */
async function asContestant(name: string, build: () => Promise<string>): Promise<Omit<Built, 'program'>> {
  let contestantUrl: string
  let found: { readonly contestant?: Contestant }
  try {
    contestantUrl = pathToFileURL(await build()).href
    found = (await import(contestantUrl)) as typeof found
  } catch (error) {
    throw new UsageError(`--contestant: '${name}' cannot be loaded: ${(error as Error).message}`)
  }
  const { contestant } = found
  if (typeof contestant?.create === 'function') return { contestantUrl, contestant }
  const shape = 'a module that exports contestant, with create() (test/races/checker/contestant.ts)'
  throw new UsageError(`--contestant: expected ${shape}, got '${name}'`)
}

async function bundle(path: string, directory: string, plugins: readonly Plugin[]): Promise<string> {
  const outfile = join(directory, `${path.split('/').at(-1)!.replace(/\.ts$/, '')}.mjs`)
  await build({
    ...WITH_PACKAGES,
    entryPoints: [path],
    outfile,
    plugins: [...plugins],
  })
  return outfile
}
