/** tidemark/testing: what you need to test your own store, and your application when Redis misbehaves. */
export { storeSuite } from './store-suite.ts'
export type { StoreRule, StoreSuiteOptions, StoreUnderTest } from './store-suite.ts'
export { ManualClock } from './manual-clock.ts'
export { startFaultProxy } from './fault-proxy.ts'
export type { FaultCut, FaultDelay, FaultProxy, FaultProxyOptions } from './fault-proxy.ts'
