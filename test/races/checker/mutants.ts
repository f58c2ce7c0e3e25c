/**
 * The library with one rule of the protocol taken out: a checker that does not notice proves nothing.
 *
 * A mutant is a few replacements in the sources, made while they are bundled. Each text must stand there exactly once;
 * when the library changes under a mutant, the mutant fails to be made instead of silently being the library.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'esbuild'

interface Replacement {
  /** Below `src/`. */
  readonly file: string
  readonly text: string
  readonly by: string
}

export interface Mutant {
  readonly name: string
  /** Which rule it breaks. */
  readonly breaks: string
  /** In which phases it shows most often: the full run has them too, but for a few seconds each. */
  readonly phases: readonly string[]
  readonly replacements: readonly Replacement[]
}

const SCRIPTS = 'stores/redis/scripts.ts'
const PRELUDE = 'stores/redis/prelude.ts'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'token',
    breaks: 'a fill is accepted under whatever lease is in force',
    phases: ['calm'],
    replacements: [
      {
        file: SCRIPTS,
        text: `local lease = peek('GET', KEYS[5]) or ''\nif string.sub(lease, 1, 8) ~= ARGV[2] then return 0 end`,
        by: `local lease = peek('GET', KEYS[5]) or ''\nif lease == '' then return 0 end`,
      },
    ],
  },
  {
    name: 'sync',
    breaks: 'entries are judged by the stamps known here, without asking for those that are missing',
    phases: ['delays', 'connections'],
    replacements: [
      {
        file: 'stores/redis/mirror.ts',
        text: 'if (this.#covers(state)) return this.#stamps.judge(entry)',
        by: 'if (this.#epoch === state.epoch) return this.#stamps.judge(entry)',
      },
    ],
  },
  {
    name: 'dirty',
    breaks: 'an entry that was removed while it was on its way into memory is kept',
    phases: ['delays l1'],
    replacements: [
      {
        file: 'stores/tiered.ts',
        text: 'if (arrival !== except) arrival.isDirty = true',
        by: 'if (arrival === except) arrival.isDirty = true',
      },
    ],
  },
  {
    name: 'clocks',
    breaks: 'stamps and seqs come from clocks of the processes, which are 75 ms wrong, and not from the server',
    phases: ['calm', 'calm l1'],
    replacements: [
      {
        file: PRELUDE,
        text: 'return tonumber(time[1]) * 1000000 + tonumber(time[2])',
        by: 'return tonumber(time[1]) * 1000000 + tonumber(time[2]) + (tonumber(ORIGIN, 16) % 2 * 150000 - 75000)',
      },
      {
        file: SCRIPTS,
        text: `local epoch, floor, seq = watermark()\nlocal token, steal`,
        by: `local epoch, floor = watermark()\nlocal seq = now()\nlocal token, steal`,
      },
      {
        file: SCRIPTS,
        text: `local epoch, floor, seq = watermark()\nredis.call('SET', KEYS[4], stamp(epoch, seq) .. ARGV[2]`,
        by: `local epoch, floor = watermark()\nlocal seq = now()\nredis.call('SET', KEYS[4], stamp(epoch, seq) .. ARGV[2]`,
      },
      {
        file: 'stores/redis/mirror.ts',
        text: ' || entry.seq > state.seq',
        by: '',
      },
      {
        file: 'stores/redis/mirror.ts',
        text: 'if (entry.seq === state.seq)',
        by: 'if (entry.seq >= state.seq)',
      },
    ],
  },
  {
    name: 'beat',
    breaks: 'memory is served however long nothing was heard',
    phases: ['silence l1'],
    replacements: [
      {
        file: 'stores/redis/coherence.ts',
        text: 'this.#isCaughtUp && performance.now() - subscriber.beatAt < maxStalenessMs',
        by: 'this.#isCaughtUp && performance.now() - subscriber.beatAt < maxStalenessMs * 1e9',
      },
    ],
  },
  {
    name: 'joined',
    breaks: 'who joined a load is handed it though it was fenced',
    phases: ['calm', 'delays'],
    replacements: [
      {
        file: 'load.ts',
        text: `return verdict === 'released' || joined === 'alone' ? joined : 'anew'`,
        by: `return verdict === 'unheard of' as string ? 'anew' : joined`,
      },
    ],
  },
  {
    name: 'own-flight',
    breaks: 'an invalidation does not detach the flights of its own process',
    phases: ['outages'],
    replacements: [
      { file: 'cache-manager.ts', text: 'loads.flights.detach(ids)', by: 'void ids' },
      { file: 'cache-manager.ts', text: 'loads.flights.detachAll()', by: 'void loads' },
    ],
  },
  {
    name: 'replay',
    breaks: 'an invalidation that could not be delivered is forgotten',
    phases: ['connections', 'outages'],
    replacements: [
      { file: 'stores/redis/redis-store.ts', text: 'this.#undelivered.addIds(ids)', by: 'void ids' },
      {
        file: 'stores/redis/redis-store.ts',
        text: 'this.#undelivered.addStamps(stamps, options)',
        by: 'void stamps',
      },
    ],
  },
  {
    name: 'loss',
    breaks: 'stamps that are lost begin no new epoch',
    phases: ['rebirth'],
    replacements: [
      {
        file: PRELUDE,
        text: 'if epoch and marker and tonumber(marker) == tonumber(floor) and',
        by: 'if epoch and',
      },
    ],
  },
  {
    name: 'silent',
    breaks: 'a removal is not told to the other processes',
    phases: ['calm l1'],
    replacements: [{ file: SCRIPTS, text: 'tell(removed)\n', by: '' }],
  },
  {
    name: 'doubt',
    breaks: 'memory is kept over a connection that was lost',
    phases: ['lost touch l1'],
    replacements: [
      {
        file: 'stores/redis/coherence.ts',
        text: `    this.#isCaughtUp = false\n    this.#doubts++\n    this.#options.listener.onDoubt()`,
        by: '    this.#doubts++',
      },
      {
        file: 'stores/redis/coherence.ts',
        text: `  onSubscribed(): void {\n    this.doubt()`,
        by: `  onSubscribed(): void {\n    this.#isCaughtUp = true`,
      },
    ],
  },
  {
    name: 'lease',
    breaks: 'whoever asks for a lease is given it',
    phases: ['calm'],
    replacements: [{ file: SCRIPTS, text: 'if lease and not steal then', by: 'if false then' }],
  },
  {
    name: 'heartbeat',
    breaks: 'a lease is not renewed while its holder loads',
    phases: ['calm'],
    replacements: [
      {
        file: 'load.ts',
        text: 'return store.extend(held, leaseMs)',
        by: 'return true',
      },
    ],
  },
]

export interface Mutation {
  readonly plugin: Plugin
  /** @throws {Error} unless every text was replaced */
  assertMade(): void
}

/** @param library where the sources of the library lie */
export function mutating({ name, replacements }: Mutant, library: URL): Mutation {
  const made = new Set<Replacement>()
  const change = (file: string, source: string): string =>
    replacements
      .filter((one) => one.file === file)
      .reduce((text, one) => {
        const count = text.split(one.text).length - 1
        if (count !== 1) throw new Error(`mutant ${name}: expected once in ${file}, got ${count} times: ${one.text}`)
        made.add(one)
        return text.replace(one.text, () => one.by)
      }, source)
  const plugin: Plugin = {
    name: `mutant ${name}`,
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const file = path.startsWith(fileURLToPath(library)) ? path.slice(fileURLToPath(library).length) : undefined
        if (file === undefined) return undefined
        return { contents: change(file, await readFile(path, 'utf8')), loader: 'ts' }
      })
    },
  }
  const assertMade = (): void => {
    const left = replacements.filter((one) => !made.has(one))
    if (left.length > 0)
      throw new Error(`mutant ${name}: nothing was replaced in ${left.map(({ file }) => file).join(', ')}`)
  }
  return { plugin, assertMade }
}
