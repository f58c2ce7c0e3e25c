/** The pages as a database holds them: PGlite, which is PostgreSQL inside of the process. */
import { itemPage } from '../harness/payloads.mjs'

/** Pages whose rows are in the table: the benchmark asks for one of them. */
const PAGES = 10

/** Resolves with the function that queries a page. */
export async function queriedPages() {
  // It takes seconds to load: only who asks for it waits.
  const { PGlite } = await import('@electric-sql/pglite')
  const database = new PGlite()
  await database.exec(`CREATE TABLE items (
    page int, id int, name text, description text, price float8, in_stock boolean, category text, updated_at text,
    PRIMARY KEY (page, id))`)
  for (let page = 0; page < PAGES; page++) {
    const fields = `id int, name text, description text, price float8, "inStock" boolean, category text, "updatedAt" text`
    const rows = JSON.stringify(itemPage(page).items)
    await database.query(`INSERT INTO items SELECT $1, * FROM json_to_recordset($2::json) AS item(${fields})`, [
      page,
      rows,
    ])
  }
  const select = `SELECT id, name, description, price, in_stock AS "inStock", category, updated_at AS "updatedAt"
    FROM items WHERE page = $1 ORDER BY id`
  return async (page) => {
    const { rows } = await database.query(select, [page])
    return { page: String(page).padStart(3, '0'), items: rows }
  }
}
