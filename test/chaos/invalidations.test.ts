/** A thousand invalidations of a thousand keys while Redis is away: each rejects, none is lost, none is late. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LIGHT_LOAD, Scene, type Application } from './scene.ts'

const NAMESPACE = 'goods'
const KEYS = Array.from({ length: 1000 }, (_, i) => `k${i}`)

let scene: Scene
let cut: Application
let whole: Application

beforeAll(async () => {
  scene = await Scene.open({ ...LIGHT_LOAD, socketTimeoutMs: 2000 })
  cut = await scene.startApplication()
  whole = await scene.startApplication({ isBehindProxy: false })
}, 60_000)
afterAll(() => scene.close())

async function fill(version: string): Promise<void> {
  await whole.read(NAMESPACE, KEYS, version)
  expect((await whole.read(NAMESPACE, KEYS, 'unused')).values).toEqual(KEYS.map(() => version))
}

test.each([
  ['refuses', (): void => (scene.proxy.refuse(), scene.proxy.cut())],
  ['is silent', (): void => scene.proxy.stall()],
])('Redis %s: this process sees them at once, and all others when it is back', async (_, fail) => {
  await fill('old')
  expect((await cut.read(NAMESPACE, KEYS, 'unused')).values).toEqual(KEYS.map(() => 'old'))
  fail()
  const { ends, values } = await cut.invalidate(NAMESPACE, KEYS, 'mine')
  expect(ends).toEqual({ ERR_CACHE_REDIS_CONNECTION: KEYS.length })
  expect(values).toEqual(KEYS.map(() => 'mine'))
  // Nobody else can know yet.
  expect((await whole.read(NAMESPACE, KEYS, 'unused')).values).toEqual(KEYS.map(() => 'old'))
  await scene.proxy.heal()
  await expect
    .poll(async () => (await whole.peek(NAMESPACE, KEYS)).values.filter((value) => value === 'old'), {
      timeout: 20_000,
    })
    .toEqual([])
  // Others find them gone before the process itself has counted them all.
  const last = async (): Promise<string | undefined> => (await cut.facts()).lines.at(-1)
  await expect
    .poll(last, { timeout: 10_000 })
    .toMatch(/ is back after \d+\.\d s; 1000 queued invalidations were delivered; \d+ calls had to do without it$/)
})
