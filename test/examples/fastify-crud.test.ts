/** The example keeps what it promises: its routes in this process, then the program itself, alone and twice on one Redis. */
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { buildApp } from '../../examples/fastify-crud/app.ts'
import { openDatabase, type Database } from '../../examples/fastify-crud/db.ts'
import type { Item, ItemPage, ItemReport } from '../../examples/fastify-crud/items-table.ts'
import { startRedis } from '../helpers/redis.ts'
import { buildExample, startExample } from './start-example.ts'

const LAMP = { name: 'Loud Lamp', category: 'office', price: 24.99 }

describe('the routes', () => {
  let database: Database
  let app: FastifyInstance

  beforeAll(async () => {
    database = await openDatabase()
  }, 120_000)
  afterAll(() => database.close())
  beforeEach(async () => {
    app = await buildApp({ database, config: { redis: false } })
  })
  afterEach(() => app.close())

  type Method = 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  const get = (url: string): Promise<LightMyRequestResponse> => app.inject(url)
  const send = (method: Method, url: string, body?: object): Promise<LightMyRequestResponse> =>
    app.inject({ method, url, ...(body === undefined ? {} : { body }) })

  const lists = ['/items', '/items?page=2&limit=5', '/items?category=toys&search=lamp']
  test.each([...lists, '/items/7'])('the second GET %s is a HIT with the same body', async (url) => {
    const miss = await get(url)
    const hit = await get(url)
    expect([miss.statusCode, miss.headers['x-cache']]).toEqual([200, 'MISS'])
    expect([hit.statusCode, hit.headers['x-cache']]).toEqual([200, 'HIT'])
    expect(hit.json()).toEqual(miss.json())
    expect(hit.headers['x-response-time']).toMatch(/^\d+\.\dms$/)
  })

  test('the list comes in pages, and can be narrowed', async () => {
    const second = (await get('/items?page=2&limit=5')).json<ItemPage>()
    expect(second.items.map(({ id }) => id)).toEqual([6, 7, 8, 9, 10])
    const lamps = (await get('/items?category=toys&search=lamp')).json<ItemPage>()
    expect(lamps.total).toBeGreaterThan(0)
    expect(lamps.items).toHaveLength(lamps.total)
    for (const { name, category } of lamps.items)
      expect([category, name]).toEqual(['toys', expect.stringMatching(/Lamp/)])
    expect((await get('/items?page=1000')).json<ItemPage>()).toMatchObject({ items: [], page: 1000 })
  })

  test('an item that is added shows in the list at once', async () => {
    const { total } = (await get('/items')).json<ItemPage>()
    const created = await send('POST', '/items', LAMP)
    expect(created.statusCode).toBe(201)
    const { id } = created.json<Item>()
    expect(created.headers.location).toBe(`/items/${id}`)
    expect((await get('/items')).json<ItemPage>().total).toBe(total + 1)
    expect((await get(`/items/${id}`)).json<ItemReport>()).toMatchObject({ ...LAMP, id, sold: 0, rating: null })
  })

  test.each([
    ['PUT', { ...LAMP, price: 30 }, { ...LAMP, price: 30 }],
    ['PATCH', { price: 31.5 }, { price: 31.5 }],
  ] as const)('after a %s the item and the list are read anew', async (method, body, expected) => {
    await get('/items/3')
    await get('/items?limit=3')
    expect((await send(method, '/items/3', body)).json<Item>()).toMatchObject({ id: 3, ...expected })
    const read = await get('/items/3')
    expect(read.headers['x-cache']).toBe('MISS')
    expect(read.json<ItemReport>()).toMatchObject({ id: 3, ...expected })
    expect((await get('/items?limit=3')).json<ItemPage>().items[2]).toMatchObject({ id: 3, ...expected })
  })

  test('a write leaves what is known of other items', async () => {
    await get('/items/8')
    await send('PATCH', '/items/9', { price: 1 })
    expect((await get('/items/8')).headers['x-cache']).toBe('HIT')
  })

  test('a deleted item is gone, and the others move up', async () => {
    const { items, total } = (await get('/items?limit=100')).json<ItemPage>()
    const best = items.find(({ rank }) => rank === 1)!
    const second = items.find(({ rank }) => rank === 2)!
    await get(`/items/${best.id}`)
    await get(`/items/${second.id}`)
    expect((await send('DELETE', `/items/${best.id}`)).statusCode).toBe(204)
    expect((await get(`/items/${best.id}`)).statusCode).toBe(404)
    expect((await get(`/items/${second.id}`)).json<ItemReport>().rank).toBe(1)
    expect((await get('/items?limit=100')).json<ItemPage>().total).toBe(total - 1)
  })

  test('that there is no item is not kept: the next one added may be it', async () => {
    const { id } = (await send('POST', '/items', LAMP)).json<Item>()
    expect((await get(`/items/${id + 1}`)).json()).toMatchObject({
      statusCode: 404,
      message: `there is no item ${id + 1}`,
    })
    await send('POST', '/items', LAMP)
    expect((await get(`/items/${id + 1}`)).statusCode).toBe(200)
  })

  test.each([
    ['PUT', LAMP],
    ['PATCH', { price: 1 }],
    ['DELETE', undefined],
  ] as const)('%s of an item that is not there is a 404', async (method, body) => {
    expect((await send(method, '/items/999999', body)).statusCode).toBe(404)
  })

  test.each([
    ['POST', '/items', {}],
    ['POST', '/items', { ...LAMP, price: -1 }],
    ['POST', '/items', { ...LAMP, price: 'cheap' }],
    ['POST', '/items', { ...LAMP, name: '' }],
    ['POST', '/items', { ...LAMP, name: 'a\u0000b' }],
    ['POST', '/items', { ...LAMP, colour: 'blue' }],
    ['PUT', '/items/3', { price: 1 }],
    ['PATCH', '/items/3', {}],
    ['PATCH', '/items/none', { price: 1 }],
  ] as const)('%s %s with %j is a 400', async (method, url, body) => {
    expect((await send(method, url, body)).statusCode).toBe(400)
  })

  test.each(['/items/none', '/items/0', '/items/99999999999', '/items?limit=1000', '/items?page=0'])(
    'GET %s is a 400',
    async (url) => {
      expect((await get(url)).statusCode).toBe(400)
    },
  )

  test.each([
    ['GET', '/items', 100],
    ['GET', '/items/7', 200],
    ['POST', '/items', 50],
    ['PATCH', '/items/7', 50],
    ['DELETE', '/items/999999', 50],
  ] as const)('%s %s is limited to %i requests a minute', async (method, url, limit) => {
    const request = (): Promise<LightMyRequestResponse> => app.inject({ method, url })
    for (let count = 0; count < limit; count++) expect((await request()).statusCode).not.toBe(429)
    const refused = await request()
    expect(refused.statusCode).toBe(429)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  })

  test('a new database is not seen through what Redis remembers of the former', async () => {
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    const xCacheOf = async (isNew: boolean): Promise<unknown> => {
      const instance = await buildApp({ database: { ...database, isNew }, config: { redis: { url: redis.url } } })
      onTestFinished(() => instance.close())
      return (await instance.inject('/items/7')).headers['x-cache']
    }
    expect([await xCacheOf(false), await xCacheOf(false), await xCacheOf(true)]).toEqual(['MISS', 'HIT', 'MISS'])
  })

  test('/cache/stats counts hits and misses, /health knows database and cache', async () => {
    await get('/items/7')
    await get('/items/7')
    expect((await get('/cache/stats')).json()).toMatchObject({ hits: 1, misses: 1 })
    expect((await get('/health')).json()).toEqual({ database: true, cache: true })
  })

  test('/docs is a page, and its document knows all routes', async () => {
    const home = await get('/')
    expect([home.statusCode, home.headers.location]).toEqual([302, '/docs'])
    const page = await get('/docs/')
    expect([page.statusCode, page.headers['content-type']]).toEqual([200, expect.stringMatching('text/html')])
    const { paths } = (await get('/docs/json')).json<{ paths: Record<string, object> }>()
    expect(Object.keys(paths['/items']!)).toEqual(['get', 'post'])
    expect(Object.keys(paths['/items/{id}']!)).toEqual(['get', 'put', 'patch', 'delete'])
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining(['/health', '/cache/stats', '/cache/ping', '/cache/clear', '/cache/reset-stats']),
    )
  })
})

describe('the program', () => {
  let folder: string

  beforeAll(async () => {
    folder = await buildExample()
  }, 120_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('starts without any server, listens on PORT, says where everything is, and ends in peace', async () => {
    const { url, output, stop } = await startExample(folder)
    expect(output()).toContain(`${url}/docs`)
    expect(output()).toMatch(/cache +the memory of this process/)
    expect(output()).toMatch(/database +PGlite in this process\n/)
    expect([await xCache(`${url}/items/7`), await xCache(`${url}/items/7`)]).toEqual(['MISS', 'HIT'])
    expect((await fetch(`${url}/docs`)).status).toBe(200)
    expect(await stop('SIGTERM')).toBe(0)
  }, 120_000)

  test('a PORT that is none ends it with one line', async () => {
    const starting = startExample(folder, { PORT: 'abc' })
    await expect(starting).rejects.toThrow(
      /^the example ended with 1:\nPORT: expected a whole number from 0 to 65535, got "abc"\n$/,
    )
  }, 30_000)

  test('what one instance has read the other need not, and what one writes the other reads', async () => {
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    const env = { REDIS_URL: redis.url }
    const [first, second] = await Promise.all([startExample(folder, env), startExample(folder, env)])
    expect([await xCache(`${first.url}/items/7`), await xCache(`${second.url}/items/7`)]).toEqual(['MISS', 'HIT'])
    const directions = [
      [first, second, 11],
      [second, first, 12],
    ] as const
    for (const [writer, reader, price] of directions) {
      await patch(`${writer.url}/items/7`, { price })
      expect((await ask(`${reader.url}/items/7`)).body).toMatchObject({ price })
    }
    expect([await first.stop('SIGINT'), await second.stop('SIGINT')]).toEqual([0, 0])
  }, 120_000)
})

interface Answer {
  readonly xCache: string | string[] | undefined
  readonly body: unknown
}

/** As behind a load balancer: whichever instance is asked, it is asked as one host. The cache tells hosts apart. */
async function ask(url: string): Promise<Answer> {
  const request = httpGet(url, { headers: { host: 'shop.example' } })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { xCache: response.headers['x-cache'], body: await json(response) }
}

async function xCache(url: string): Promise<Answer['xCache']> {
  return (await ask(url)).xCache
}

async function patch(url: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const { status } = await fetch(url, { method: 'PATCH', headers, body: JSON.stringify(body) })
  expect(status).toBe(200)
}
