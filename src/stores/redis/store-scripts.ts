/** The names of one store's keys, and how its scripts are called and answer. */
import { RedisReplyError } from '../../exceptions.ts'
import { hashTag } from '../../key.ts'
import { newEpoch } from '../../token.ts'
import type { Argument, Reply } from './client.ts'
import type { Script, StoreConnection } from './connection.ts'
import { GREET } from './scripts.ts'

/** Names whose fills are refused for a while, and what is known of servers and stores: keys below the root. */
export const HOLDS = 'h'
const META = 'm'

/** What FILL answers when it refuses a load. */
const FENCED: Readonly<Record<number, string>> = {
  [0]: 'its lease was taken by another load, a set or a delete, or has run out',
  [-1]: 'a name it bears was invalidated meanwhile, or is on hold',
  [-2]: 'the name it hangs on was deleted meanwhile',
}

/** What is told where the user may not ask a server which one it is, or may not use our keys. */
export function unknownServer({ message }: Error): string {
  const remedy = /keys/.test(message)
    ? 'its user needs the keys that begin with cache.keyPrefix'
    : "its user needs INFO (ACL +info); or say redis.onFailover: 'trust'"
  return `cannot tell whether Redis was restarted or failed over, and entries may come back that were invalidated: ${remedy} (${message})`
}

export function whyFenced(reply: Reply): string {
  return FENCED[Number(reply)] ?? 'overtaken'
}

/** Which part of the ids a store holds. */
export interface Shard {
  readonly index: number
  readonly of: number
}

/** Standalone Redis needs no more than one shard. */
const WHOLE: Shard = { index: 0, of: 1 }

export interface StoreScriptsOptions {
  readonly connection: StoreConnection
  /** In front of every key; no braces, which would move the hash tag. */
  readonly keyPrefix: string
  /** Without it, all ids. */
  readonly shard?: Shard | undefined
}

export class StoreScripts {
  readonly watermarkKey: string
  readonly #connection: StoreConnection
  readonly #shard: Shard
  readonly #root: string
  #origin = newEpoch()
  /** The epoch of the server that has taken the last greeting. */
  #epoch = ''
  /** When something was last invalidated, in milliseconds of `performance.now()`. */
  #invalidatedAt: number | undefined

  constructor({ connection, keyPrefix, shard = WHOLE }: StoreScriptsOptions) {
    this.#connection = connection
    this.#shard = shard
    // One hash tag for all keys of the store: every command stays on one slot.
    this.#root = `${keyPrefix}${hashTag(shard.index)}`
    this.watermarkKey = `${this.#root}w`
  }

  /** Channels know no SELECT: the name tells the databases of one server apart. Of a shard it is the slot's own channel. */
  get channel(): string {
    return `${this.#root}x:${this.#shard.of === 1 ? String(this.#connection.db) : 's'}`
  }

  /** The name of this store in messages. */
  get origin(): string {
    return this.#origin
  }

  keyOf(id: string): string {
    return this.#root + id
  }

  run(script: Script, ids: readonly string[], args: readonly Argument[]): Promise<Reply> {
    const onReply = (reply: Reply): Reply => {
      if (script.isInvalidation) this.#invalidatedAt = performance.now()
      return assertRun(reply)
    }
    return this.#connection.run(script, this.#keys(ids), [this.#call(), ...args]).then(onReply, (error: unknown) => {
      // It may yet arrive, when something else is known here: then it is news like that of any other store.
      if (!(error instanceof RedisReplyError)) this.#origin = newEpoch()
      throw error
    })
  }

  /** The command that greets a server, whole: it may be another one than before. */
  greeting(onFailover: 'invalidate' | 'trust'): readonly Argument[] {
    const keys = this.#keys([META, HOLDS])
    const agoMs = this.#invalidatedAt === undefined ? '' : String(Math.ceil(performance.now() - this.#invalidatedAt))
    const args = [this.#call(), onFailover === 'invalidate' ? '1' : '', String(this.#shard.of), this.#epoch, agoMs]
    return ['EVAL', GREET.lua, String(keys.length), ...keys, ...args]
  }

  /** Which server has answered the greeting; 0 if it is not asked for. */
  greetedBy(reply: Reply): string {
    if (!Array.isArray(reply)) return String(reply)
    const [run, epoch] = reply.map(String) as [string, string]
    this.#epoch = epoch
    return run
  }

  #keys(ids: readonly string[]): readonly string[] {
    return [this.watermarkKey, `${this.#root}t`, this.channel, ...ids.map((id) => this.#root + id)]
  }

  /** A candidate for the name of an epoch, and who calls: the first argument of every script. */
  #call(): string {
    return newEpoch() + this.#origin
  }
}

/** A user's client may be inside of a transaction: then nothing has run, and perhaps nothing ever will. */
function assertRun(reply: Reply): Reply {
  if (Buffer.isBuffer(reply) && reply.toString() === 'QUEUED') {
    throw new RedisReplyError('expected a client outside of a transaction (MULTI), got QUEUED', 'QUEUED')
  }
  return reply
}
