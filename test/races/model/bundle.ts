/**
 * The model with the library in it, as one module: in it the library's timers, clock and chance are those of time.ts,
 * and, for a mutant, one place of its source reads differently. The library itself knows nothing of either.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { WITH_PACKAGES } from '../../helpers/esbuild-options.mjs'
import type * as model from './model.ts'

/** One rule of the library, or of the model of its scripts, that is broken. */
export interface Mutation {
  /** Path from the root of the project. */
  readonly file: string
  /** Stands there exactly once. */
  readonly from: string
  readonly to: string
}

export type Model = typeof model

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export async function bundle(...mutations: readonly Mutation[]): Promise<Model> {
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-model-'))
  const outfile = join(directory, 'model.mjs')
  try {
    await build({
      ...WITH_PACKAGES,
      entryPoints: [here('model.ts')],
      outfile,
      inject: [here('globals.ts')],
      define: { 'Math.random': 'chanceOfModel' },
      alias: { 'node:timers/promises': here('timers-promises.ts') },
      plugins: mutations.map(mutate),
    })
    return (await import(pathToFileURL(outfile).href)) as Model
  } finally {
    await rm(directory, { recursive: true })
  }
}

function mutate({ file, from, to }: Mutation): Plugin {
  const path = here(`../../../${file}`)
  return {
    name: `mutate ${file}`,
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, async (args) => {
        if (args.path !== path) return undefined
        const parts = (await readFile(path, 'utf8')).split(from)
        if (parts.length !== 2) throw new Error(`${file}: expected "${from}" once, got it ${parts.length - 1} times`)
        return { contents: parts.join(to), loader: 'ts' }
      })
    },
  }
}
