/** The database: the PostgreSQL server `DATABASE_URL` names, else PGlite, which is PostgreSQL inside this process. */
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import { claimPort, lend } from './embedded-postgres.ts'
import { CREATE_SHOP } from './schema.ts'

export interface Database {
  /** Where the rows are, for people. */
  readonly description: string
  /** This start made the shop: what a cache remembers of an earlier one is void. */
  readonly isNew: boolean
  query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** A PostgreSQL server. Default: PGlite. */
  url?: string | undefined
  /** Where instances that need one database meet, without `url`: the first opens PGlite there, the next ones join it. */
  meetingPort?: number | undefined
}

type Connection = Omit<Database, 'isNew'>

export async function openDatabase(options: DatabaseOptions = {}): Promise<Database> {
  const connection = await connect(options)
  const shop = await connection.query(`select from pg_namespace where nspname = 'shop'`)
  await connection.query(CREATE_SHOP)
  return { ...connection, isNew: shop.length === 0 }
}

async function connect({ url, meetingPort }: DatabaseOptions): Promise<Connection> {
  if (url !== undefined) return connectTo(url, 'PostgreSQL at DATABASE_URL')
  if (meetingPort === undefined) return embed('PGlite in this process')

  const address = `127.0.0.1:${meetingPort}`
  const server = await claimPort(meetingPort)
  return server === undefined
    ? connectTo(`postgres://postgres@${address}/postgres`, `PGlite of the first instance, at ${address}`)
    : embed(`PGlite in this process, shared at ${address}`, (pglite) => lend(pglite, server))
}

function connectTo(url: string, description: string): Connection {
  const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: 30_000 })
  pool.on('error', () => {}) // an idle connection broke: the next query opens another
  return {
    description,
    query: async <Row>(sql: string, values: readonly unknown[] = []) =>
      (await pool.query(sql, [...values])).rows as Row[],
    close: () => pool.end(),
  }
}

async function embed(description: string, share?: (pglite: PGlite) => () => void): Promise<Connection> {
  const pglite = new PGlite()
  const stopSharing = share?.(pglite)
  await pglite.waitReady
  return {
    description,
    query: async <Row>(sql: string, values: readonly unknown[] = []) =>
      (await pglite.query<Row>(sql, [...values])).rows,
    async close() {
      stopSharing?.()
      await pglite.close()
    },
  }
}
