/** The scripts that answer with headers of entries, HEADERS and REMOVE: of any number of them, in pieces. */
import { leaseId, piecesOf } from './arguments.ts'
import type { EntryReader, FoundHeader } from './entry-reader.ts'
import type { Mirror } from './mirror.ts'
import { HEADERS, REMOVE } from './scripts.ts'
import type { StoreScripts } from './store-scripts.ts'

/** So many entries per script: it holds the server up for well under a millisecond. */
const CHUNK = 200

export interface HeaderScriptsOptions {
  readonly scripts: StoreScripts
  readonly reader: EntryReader
  readonly mirror: Mirror
}

export type FoundHeaders = readonly (FoundHeader | undefined)[]

export class HeaderScripts {
  readonly #options: HeaderScriptsOptions

  constructor(options: HeaderScriptsOptions) {
    this.#options = options
  }

  /** The headers of valid entries, in the order of `ids`. */
  find(ids: readonly string[]): Promise<FoundHeaders> {
    return inPieces(ids, (some) => this.#run('find', some))
  }

  /** The same, of entries that are removed, with the leases on them. */
  remove(ids: readonly string[]): Promise<FoundHeaders> {
    return inPieces(ids, (some) => this.#run('remove', some))
  }

  async #run(verb: 'find' | 'remove', ids: readonly string[]): Promise<FoundHeaders> {
    const { scripts, reader, mirror } = this.#options
    const reply =
      verb === 'find'
        ? scripts.run(HEADERS, ids, [])
        : scripts.run(
            REMOVE,
            ids.flatMap((id) => [id, leaseId(id)]),
            [],
          )
    const [watermark, ...replies] = (await reply) as readonly [Buffer, ...(Buffer | number)[]]
    const state = mirror.parse(watermark)
    return Promise.all(
      ids.map((id, i) => {
        return reader.header(replies[2 * i] as Buffer, id, { pttl: replies[2 * i + 1] as number, state })
      }),
    )
  }
}

async function inPieces(
  ids: readonly string[],
  ask: (ids: readonly string[]) => Promise<FoundHeaders>,
): Promise<FoundHeaders> {
  if (ids.length <= CHUNK) return ask(ids)
  return (await Promise.all(piecesOf(ids, CHUNK).map(ask))).flat()
}
