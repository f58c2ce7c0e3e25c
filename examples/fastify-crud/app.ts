/** The application, ready to listen: server.ts starts it, tests inject requests into it. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { ApplicationConfig, CacheManager } from 'tidemark'
import { addCacheRoutes, cacheTransform, createCacheErrorHandler, setupCache } from 'tidemark/fastify'
import type { Database } from './db.ts'
import { addItemRoutes } from './items.ts'
import { ItemsTable } from './items-table.ts'

export interface AppOptions {
  database: Database
  /** Default: what the environment says (`REDIS_URL`, ...). */
  config?: ApplicationConfig
  logger?: NonNullable<FastifyServerOptions['logger']>
}

export async function buildApp({ database, config = {}, logger = false }: AppOptions): Promise<FastifyInstance> {
  // Fields that a schema does not know are refused; Fastify would drop them silently.
  const app = Fastify({ logger, ajv: { customOptions: { removeAdditional: false } } })

  const description = 'Slow reads behind a cache: watch X-Cache and X-Response-Time in the answers.'
  const info = { title: 'A shop', version: '1.0.0', description }
  await app.register(swagger, { openapi: { openapi: '3.1.0', info }, transform: cacheTransform })
  await app.register(swaggerUi, { routePrefix: '/docs', uiConfig: { deepLinking: true, tryItOutEnabled: true } })
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-response-time', `${reply.elapsedTime.toFixed(1)}ms`)
  })

  const cache = setupCache(app, config)
  createCacheErrorHandler(app)
  addItemRoutes(app, cache, new ItemsTable(database))
  addCacheRoutes(app, cache)
  addHealthRoute(app, cache, database)
  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/docs'))

  if (database.isNew) await forgetFormerItems(app, cache)
  return app
}

/** Without the cache the shop is slow, without the database there is none. */
function addHealthRoute(app: FastifyInstance, cache: CacheManager, database: Database): void {
  const state = { type: 'object', properties: { database: { type: 'boolean' }, cache: { type: 'boolean' } } }
  const schema = { summary: 'Is everything there?', tags: ['health'], response: { 200: state, 503: state } }

  app.get('/health', { schema }, async (_request, reply) => {
    const hasDatabase = database.query('select 1').then(
      () => true,
      () => false,
    )
    const health = { database: await hasDatabase, cache: await cache.ping() }
    return reply.code(health.database ? 200 : 503).send(health)
  })
}

/** A Redis outlives an embedded database: what it remembers of the last one's items is void. */
async function forgetFormerItems(app: FastifyInstance, cache: CacheManager): Promise<void> {
  try {
    await cache.clear({ namespace: 'items' })
  } catch (error) {
    app.log.warn(error, 'the cache may still hold items of a former database')
  }
}
