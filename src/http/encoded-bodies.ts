/**
 * Bodies in other codings than the one they are stored in, each made when somebody first asks for it and kept while
 * there is room, so that who asks next costs no work: not from memory, and not from Redis either, since a body is known
 * by the attempt to fill that made its entry.
 */
import type { MaybePromise } from '../stores/store.ts'

/** All bodies of one cache; JSON shrinks to a tenth, so it is what ten times as much of it takes. */
const MAX_BYTES = 16 * 1024 * 1024

/** The key, the map's slot and the Buffer around the bytes. */
const OVERHEAD_BYTES = 300

/** `undefined`: it is not worth it. */
type Body = Buffer | undefined

export class EncodedBodies {
  /** The least recently used first; a promise while it is being made, so that it is made once. */
  readonly #bodies = new Map<string, MaybePromise<Body>>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number = MAX_BYTES) {
    this.#maxBytes = maxBytes
  }

  /** The body under `key`, from `make` if it is not there. What `make` throws, or rejects with, is not kept. */
  get(key: string, make: () => MaybePromise<Body>): MaybePromise<Body> {
    if (this.#bodies.has(key)) {
      const body = this.#bodies.get(key)
      // Taken out first, so that the map stays in the order of use.
      this.#bodies.delete(key)
      this.#bodies.set(key, body)
      return body
    }
    const made = make()
    if (!(made instanceof Promise)) return this.#keep(key, made)
    const kept = made.then(
      (body) => {
        this.#bodies.delete(key)
        return this.#keep(key, body)
      },
      (error: unknown) => {
        this.#bodies.delete(key)
        throw error
      },
    )
    this.#bodies.set(key, kept)
    return kept
  }

  #keep(key: string, body: Body): Body {
    this.#bodies.set(key, body)
    this.#bytes += sizeOf(body)
    for (const [oldest, one] of this.#bodies) {
      if (this.#bytes <= this.#maxBytes) break
      // Its end is not here yet; it comes in as the youngest.
      if (one instanceof Promise) continue
      this.#bodies.delete(oldest)
      this.#bytes -= sizeOf(one)
    }
    return body
  }
}

function sizeOf(body: Body): number {
  return OVERHEAD_BYTES + (body?.length ?? 0)
}
