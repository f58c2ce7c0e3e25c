/** Express and apicache, which know only each other: no cache for a route of Fastify, but a server. */
import apicache from 'apicache'
import express from 'express'

/** A listener for `GET /pages/:page`, which answers with what `make(page)` returns. */
export function apicacheServer(make) {
  const app = express()
  const answer = (request, response) => void response.json(make(Number(request.params.page)))
  app.get('/pages/:page', apicache.middleware('1 hour'), answer)
  return app
}
