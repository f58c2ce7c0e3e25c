/** Runs a program of the tests that is written in TypeScript, which Node 20 does not run: bundled first. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { WITHOUT_PACKAGES } from './esbuild-options.mjs'

// Below node_modules, so that the bundle finds the packages it imports.
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url))

/** Calls `main(args, folder)` of main.ts in `folder`, and ends the process with the exit code it answers. */
export async function runBundled(folder) {
  await mkdir(CACHE, { recursive: true })
  const directory = await mkdtemp(join(CACHE, 'program-'))
  const outfile = join(directory, 'main.mjs')
  let exitCode = 1
  try {
    await build({
      ...WITHOUT_PACKAGES,
      entryPoints: [fileURLToPath(new URL('main.ts', folder))],
      outfile,
    })
    const { main } = await import(pathToFileURL(outfile).href)
    exitCode = await main(process.argv.slice(2), folder)
  } finally {
    await rm(directory, { recursive: true })
  }
  // Left to itself Node 20 now and then spins for ever while it tears down the handles of children that are gone.
  process.exit(exitCode)
}
