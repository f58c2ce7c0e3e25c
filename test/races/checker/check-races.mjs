/** The entry of `npm run check:races`. See docs/races.md. */
import { runBundled } from '../../helpers/run-bundled.mjs'

await runBundled(new URL('.', import.meta.url))
