/** What bundle.ts puts in the place of Node's globals of these names, and of `Math.random`. */
import { clearTimeout, now, random, setImmediate, setInterval, setTimeout } from './time.ts'

const performance = { now }

export { clearTimeout as clearInterval, clearTimeout, performance, random as chanceOfModel }
export { setImmediate, setInterval, setTimeout }
