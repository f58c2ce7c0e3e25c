/** What bundle.ts puts in the place of `node:timers/promises`. */
export { sleep as setTimeout, turn as setImmediate } from './time.ts'
