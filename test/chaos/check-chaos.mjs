/** The entry of `npm run check:chaos`. See docs/resilience.md. */
import { runBundled } from '../helpers/run-bundled.mjs'

await runBundled(new URL('.', import.meta.url))
