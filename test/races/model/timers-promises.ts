/** What bundle.ts puts in the place of `node:timers/promises`. */
export { sleep as setTimeout } from './time.ts'
