/** What bundle.ts makes one module of. */
export { ModelServer } from './server.ts'
export { run } from './world.ts'
