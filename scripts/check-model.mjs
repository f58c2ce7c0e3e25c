/** `npm run check:model`: Node runs no TypeScript, so what test/races/model/check.ts says is built first. */
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { WITHOUT_PACKAGES } from '../test/helpers/esbuild-options.mjs'

const source = new URL('../test/races/model/check.ts', import.meta.url)
// Where esbuild is found, which it needs to build the model.
const built = new URL(`../node_modules/.check-model-${process.pid}.mjs`, import.meta.url)

async function load() {
  try {
    await build({
      ...WITHOUT_PACKAGES,
      entryPoints: [fileURLToPath(source)],
      outfile: fileURLToPath(built),
      // The files of the model look for each other beside their source.
      define: { 'import.meta.url': JSON.stringify(source.href) },
    })
    return await import(built.href)
  } finally {
    await rm(built, { force: true })
  }
}

const { main } = await load()
process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
