/** The entry of `npm run check:chaos`: bundles the checker, because Node 20 runs no TypeScript, and runs it. See docs/resilience.md. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

// Below node_modules, so that the bundle finds the packages it imports.
const cache = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url))
await mkdir(cache, { recursive: true })
const directory = await mkdtemp(join(cache, 'check-chaos-'))
const bundle = join(directory, 'main.mjs')
let exitCode = 1
try {
  await build({
    entryPoints: [fileURLToPath(new URL('main.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    logLevel: 'error',
  })
  const { main } = await import(pathToFileURL(bundle).href)
  exitCode = await main(process.argv.slice(2), new URL('.', import.meta.url))
} finally {
  await rm(directory, { recursive: true })
}
// Left to itself Node 20 now and then spins for ever while it tears down the handles of children that are gone.
process.exit(exitCode)
