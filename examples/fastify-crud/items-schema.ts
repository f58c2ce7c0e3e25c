/** What may come in and what goes out, as JSON schemas: Fastify checks by them, and the OpenAPI document is made of them. */

const text = { type: 'string', minLength: 1, maxLength: 100, pattern: '^\\P{Cc}+$' }
const id = { type: 'integer', minimum: 1, maximum: 2_147_483_647 }
const integer = { type: 'integer' }

const input = {
  name: { ...text, examples: ['Blue Teapot'] },
  category: { ...text, examples: ['kitchen'] },
  price: { type: 'number', minimum: 0.01, maximum: 1_000_000, examples: [24.99] },
}
const item = { id, ...input, updatedAt: { type: 'string', format: 'date-time' } }
const report = {
  ...item,
  orders: { type: 'integer', description: 'how often it was ordered' },
  sold: { type: 'integer', description: 'how many were sold' },
  rank: { type: 'integer', description: 'among all items: 1 is sold most' },
  reviews: { type: 'integer', description: 'how often it was reviewed' },
  rating: { type: ['number', 'null'], description: 'the average of its reviews, 1 to 5' },
}
const total = { type: 'integer', description: 'items that match, on all pages' }

const params = object({ id })
const wholeBody = { ...object(input), additionalProperties: false }
const partOfBody = { ...wholeBody, required: [], minProperties: 1 }
const filter = {
  page: { type: 'integer', minimum: 1, maximum: 1_000_000, default: 1 },
  limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
  category: text,
  search: { ...text, description: 'part of the name' },
}

const error = object({ statusCode: integer, error: { type: 'string' }, message: { type: 'string' } })
const errors = {
  400: { description: 'The request is not as described here', ...error },
  429: { description: 'Too many requests: try again in Retry-After seconds', ...error },
}
const noItem = { 404: { description: 'There is no such item', ...error } }

const tags = ['items']

export const schemas = {
  list: {
    tags,
    summary: 'Items and how they sell, page by page',
    querystring: { type: 'object', properties: filter, additionalProperties: false },
    response: {
      200: {
        description: 'A page',
        ...object({ items: { type: 'array', items: object(report) }, page: integer, limit: integer, total }),
      },
      ...errors,
    },
  },
  read: {
    tags,
    summary: 'One item and how it sells',
    params,
    response: { 200: { description: 'The item', ...object(report) }, ...noItem, ...errors },
  },
  create: {
    tags,
    summary: 'Add an item',
    body: wholeBody,
    response: { 201: { description: 'The new item; Location says where it is', ...object(item) }, ...errors },
  },
  replace: {
    tags,
    summary: 'Replace an item',
    params,
    body: wholeBody,
    response: { 200: { description: 'The item as it is now', ...object(item) }, ...noItem, ...errors },
  },
  update: {
    tags,
    summary: 'Change some fields of an item',
    params,
    body: partOfBody,
    response: { 200: { description: 'The item as it is now', ...object(item) }, ...noItem, ...errors },
  },
  delete: {
    tags,
    summary: 'Delete an item',
    params,
    response: { 204: { description: 'It is gone', type: 'null' }, ...noItem, ...errors },
  },
}

function object<Properties extends object>(properties: Properties) {
  return { type: 'object', properties, required: Object.keys(properties) }
}
