/** Starts the shop: `npm start`, then open http://localhost:8000/docs. */
import { loadConfig, type Config } from 'tidemark'
import { buildApp } from './app.ts'
import { openDatabase } from './db.ts'
import { meetingPort } from './meeting-port.ts'

const { PORT = '8000', HOST = '127.0.0.1', LOG_LEVEL = 'warn', DATABASE_URL } = process.env

const port = Number(PORT)
if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
  console.error(`PORT: expected a whole number from 0 to 65535, got ${JSON.stringify(PORT)}`)
  process.exit(1)
}

const config = loadConfig()
const database = await openDatabase({ url: DATABASE_URL, meetingPort: meetingPort(config) })
const app = await buildApp({ database, config, logger: { level: LOG_LEVEL } })

app.addHook('onClose', () => database.close())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())

const url = await app.listen({ port, host: HOST })
console.log(`
  ${url}/docs

  cache     ${placeOfCache(config)}
  database  ${database.description}

  curl -i ${url}/items/7    twice: X-Cache is MISS, then HIT
  curl ${url}/cache/stats
`)

function placeOfCache({ redis }: Config): string {
  if (redis === undefined) return 'the memory of this process; REDIS_URL puts it on Redis'
  return redis.client === undefined ? `Redis at ${redis.path ?? `${redis.host}:${redis.port}`}` : 'Redis'
}
