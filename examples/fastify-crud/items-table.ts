/** The items in SQL: what the routes ask of the database. */
import type { Database } from './db.ts'

export interface ItemInput {
  name: string
  category: string
  price: number
}

/** An item as it is stored: quick to write. */
export interface Item extends ItemInput {
  id: number
  updatedAt: Date
}

/** An item and how it sells, computed from all orders and reviews: slow to read. */
export interface ItemReport extends Item {
  orders: number
  sold: number
  rank: number
  reviews: number
  rating: number | null
}

export interface ItemQuery {
  page: number
  limit: number
  category?: string
  search?: string
}

export interface ItemPage {
  items: ItemReport[]
  page: number
  limit: number
  total: number
}

const COLUMNS = `id, name, category, price::float8, updated_at as "updatedAt"`
const MATCHES = `($1::text is null or category = $1) and ($2::text is null or strpos(lower(name), lower($2)) > 0)`

export class ItemsTable {
  private readonly db: Database

  constructor(db: Database) {
    this.db = db
  }

  async list({ page, limit, category, search }: ItemQuery): Promise<ItemPage> {
    const [items, [count]] = await Promise.all([
      this.db.query<ItemReport>(`select * from shop.item_reports where ${MATCHES} order by id limit $3 offset $4`, [
        category,
        search,
        limit,
        (page - 1) * limit,
      ]),
      this.db.query<{ total: number }>(`select count(*)::int as total from shop.items where ${MATCHES}`, [
        category,
        search,
      ]),
    ])
    return { items, page, limit, total: count!.total }
  }

  async find(id: number): Promise<ItemReport | undefined> {
    const [report] = await this.db.query<ItemReport>(`select * from shop.item_reports where id = $1`, [id])
    return report
  }

  async insert({ name, category, price }: ItemInput): Promise<Item> {
    const [item] = await this.db.query<Item>(
      `insert into shop.items (name, category, price) values ($1, $2, $3) returning ${COLUMNS}`,
      [name, category, price],
    )
    return item!
  }

  /** Fields that are not given keep their value. */
  async update(id: number, { name, category, price }: Partial<ItemInput>): Promise<Item | undefined> {
    const [item] = await this.db.query<Item>(
      `update shop.items
       set name = coalesce($2, name), category = coalesce($3, category), price = coalesce($4, price), updated_at = now()
       where id = $1
       returning ${COLUMNS}`,
      [id, name, category, price],
    )
    return item
  }

  /** False: there was none. */
  async delete(id: number): Promise<boolean> {
    const deleted = await this.db.query(`delete from shop.items where id = $1 returning id`, [id])
    return deleted.length > 0
  }
}
