/** The items' routes: two slow reads that are cached, four writes that make the cache forget what they change. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CacheManager } from 'tidemark'
import { cacheBusting, cached, rateLimit } from 'tidemark/fastify'
import { schemas } from './items-schema.ts'
import type { ItemInput, ItemQuery, ItemsTable } from './items-table.ts'

interface List {
  Querystring: ItemQuery
}
interface OneItem {
  Params: { id: number }
}
interface NewItem {
  Body: ItemInput
}
interface ItemChange extends OneItem {
  Body: Partial<ItemInput>
}

const namespace = 'items'

export function addItemRoutes(app: FastifyInstance, cache: CacheManager, items: ItemsTable): void {
  addReads(app, cache, items)
  addWrites(app, cache, items)
}

function addReads(app: FastifyInstance, cache: CacheManager, items: ItemsTable): void {
  // One name for all pages, so that a write reaches them together.
  app.get<List>(
    '/items',
    {
      schema: schemas.list,
      ...rateLimit(cache, '100/minute'),
      ...cached(cache, { ttl: 600, namespace, key: 'items_list', tags: ['ranks'] }),
    },
    (request) => items.list(request.query),
  )

  // A 404 is not kept: the next item to be added may be the one.
  app.get<OneItem>(
    '/items/:id',
    {
      schema: schemas.read,
      ...rateLimit(cache, '200/minute'),
      ...cached(cache, {
        ttl: 300,
        namespace,
        key: ({ params }) => `item_${params.id}`,
        tags: ['ranks'],
        statuses: [200],
      }),
    },
    async ({ params: { id } }, reply) => (await items.find(id)) ?? notFound(reply, id),
  )
}

function addWrites(app: FastifyInstance, cache: CacheManager, items: ItemsTable): void {
  const limit = rateLimit(cache, '50/minute')
  const bustItem = cacheBusting(cache, { namespace, keys: ({ params }) => ['items_list', `item_${params.id}`] })

  app.post<NewItem>(
    '/items',
    { schema: schemas.create, ...limit, ...cacheBusting(cache, { namespace, keys: ['items_list'] }) },
    async ({ body }, reply) => {
      const item = await items.insert(body)
      return reply.code(201).header('location', `/items/${item.id}`).send(item)
    },
  )

  app.put<ItemChange>(
    '/items/:id',
    { schema: schemas.replace, ...limit, ...bustItem },
    async ({ params: { id }, body }, reply) => (await items.update(id, body)) ?? notFound(reply, id),
  )

  app.patch<ItemChange>(
    '/items/:id',
    { schema: schemas.update, ...limit, ...bustItem },
    async ({ params: { id }, body }, reply) => (await items.update(id, body)) ?? notFound(reply, id),
  )

  // The items behind it move up a rank: whatever bears the tag is out of date, the list and every item.
  app.delete<OneItem>(
    '/items/:id',
    { schema: schemas.delete, ...limit, ...cacheBusting(cache, { tags: ['ranks'] }) },
    async ({ params: { id } }, reply) => ((await items.delete(id)) ? reply.code(204).send() : notFound(reply, id)),
  )
}

function notFound(reply: FastifyReply, id: number): FastifyReply {
  return reply.code(404).send({ statusCode: 404, error: 'Not Found', message: `there is no item ${id}` })
}
