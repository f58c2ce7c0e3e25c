/** Bundles what the processes run: Node runs no TypeScript. A mutant is made here, from the library's own source. */
import { fileURLToPath, pathToFileURL } from 'node:url'
import { extname, join, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { mutating, type Mutant } from './mutants.ts'

/** The contestants that come with the checker. */
const OWN_CONTESTANTS = ['tidemark', 'naive', 'lock']

export interface Built {
  /** The program of a process. */
  readonly program: string
  readonly contestantUrl: string
}

export interface BuildOptions {
  /** Where the sources of the checker lie. */
  readonly sources: URL
  readonly directory: string
  /** A name of OWN_CONTESTANTS, or the path of a module. */
  readonly contestant: string
  readonly mutant: Mutant | undefined
}

export async function buildProcess({ sources, directory, contestant, mutant }: BuildOptions): Promise<Built> {
  const program = await bundle(fileURLToPath(new URL('process.ts', sources)), directory, [])
  const path = OWN_CONTESTANTS.includes(contestant)
    ? fileURLToPath(new URL(`contestants/${contestant}.ts`, sources))
    : resolve(contestant)
  // Another's module finds its packages from where it lies.
  const isOurs = extname(path) === '.ts'
  if (mutant === undefined) {
    const module = isOurs ? await bundle(path, directory, []) : path
    return { program, contestantUrl: pathToFileURL(module).href }
  }
  const mutation = mutating(mutant, new URL('../../../src/', sources))
  const module = await bundle(path, directory, [mutation.plugin])
  mutation.assertMade()
  return { program, contestantUrl: pathToFileURL(module).href }
}

async function bundle(path: string, directory: string, plugins: readonly Plugin[]): Promise<string> {
  const outfile = join(directory, `${path.split('/').at(-1)!.replace(/\.ts$/, '')}.mjs`)
  await build({
    entryPoints: [path],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    // Clients are CommonJS, and require what is built into Node.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
    plugins: [...plugins],
    logLevel: 'error',
  })
  return outfile
}
