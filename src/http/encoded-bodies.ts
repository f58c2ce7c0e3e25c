/**
 * Bodies in another coding than the one they are stored in, each made when somebody first asks for it and kept while
 * there is room, so that who asks next costs no work: not from memory, and not from Redis either, since a body is known
 * by the attempt to fill that made its entry.
 */
import { LRUCache } from 'lru-cache'
import type { MaybePromise } from '../stores/store.ts'

/** All bodies of one cache in one coding; JSON shrinks to a tenth, so it is what ten times as much of it takes. */
const MAX_BYTES = 16 * 1024 * 1024

/** The key, the slot and the Buffer around the bytes. */
const OVERHEAD_BYTES = 300

/** `undefined`: it is not worth it. */
type Body = Buffer | undefined

export class EncodedBodies {
  readonly #bodies: LRUCache<string, { readonly body: Body }>
  readonly #making = new Map<string, Promise<Body>>()

  constructor(maxBytes: number = MAX_BYTES) {
    const sizeCalculation = ({ body }: { readonly body: Body }): number => OVERHEAD_BYTES + (body?.length ?? 0)
    this.#bodies = new LRUCache({ maxSize: maxBytes, sizeCalculation })
  }

  /** The body under `key`, from `make` if it is not there. What `make` throws, or rejects with, is not kept. */
  get(key: string, make: () => MaybePromise<Body>): MaybePromise<Body> {
    const kept = this.#bodies.get(key)
    if (kept !== undefined) return kept.body
    const making = this.#making.get(key)
    if (making !== undefined) return making
    const made = make()
    if (!(made instanceof Promise)) return this.#keep(key, made)
    const later = made.then((body) => this.#keep(key, body)).finally(() => this.#making.delete(key))
    this.#making.set(key, later)
    return later
  }

  #keep(key: string, body: Body): Body {
    this.#bodies.set(key, { body })
    return body
  }
}
