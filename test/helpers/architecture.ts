/**
 * The layers of `src/`, and what breaks them. A pure function from sources to complaints, so that the tests can hand it
 * made-up sources and see it complain.
 *
 * `ROWS` is read from top to bottom: a file may import from the rows below its own, and from its own folder. A type
 * import is an arrow like any other. What the compiler and the linter cannot say stands here; nothing else does.
 */

/** Path below `src/` → source text. */
export type Sources = ReadonlyMap<string, string>

/** Each entry is one unit: a file, or a folder with everything in it. */
export const ROWS: readonly (readonly string[])[] = [
  // 6 edges
  ['index.ts', 'adapters/', 'testing/'],
  ['doctor/', 'management/', 'rate-limit.ts'],
  // 5 meaning
  ['cached.ts', 'http/'],
  ['cached-options.ts', 'call-key.ts'],
  ['decorator.ts'],
  // 4 core
  ['create-cache.ts'],
  ['cache-manager.ts'],
  ['cache-parts.ts'],
  ['load.ts', 'fill-token.ts'],
  ['loading.ts', 'patience.ts', 'debug-log.ts'],
  ['load-request.ts', 'joining.ts'],
  ['flight.ts', 'loaded.ts', 'telemetry.ts', 'options.ts', 'config/'],
  ['statistics.ts'],
  // 3 stores
  ['stores/tiered.ts'],
  ['stores/memory.ts', 'stores/redis/'],
  ['stores/'],
  // 2 bytes
  ['codec/'],
  // 1 leaves
  [
    'entry.ts',
    'entry-ids.ts',
    'jitter.ts',
    'memo.ts',
    'key.ts',
    'duration.ts',
    'option-checks.ts',
    'closest.ts',
    'clock.ts',
    'exceptions.ts',
    'events.ts',
    'token.ts',
    'deadline.ts',
  ],
]

/** The leaves are the only ones in a row that may know each other. */
const LEAVES = ROWS.length - 1

/** Who may use which package; what is not listed is not used. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  fastify: ['adapters/fastify/'],
  ioredis: ['stores/redis/'],
  redis: ['stores/redis/'],
  'lru-cache': ['http/encoded-bodies.ts', 'stores/entry-table.ts'],
  'rate-limiter-flexible': ['rate-limit.ts'],
}

const IMPORT = /^(?:import|export)\b[^'"`;]*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm
const TYPE_NAME = /^(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:class|interface|type)\s+(\w+)/gm
const FORBIDDEN_TYPE_NAME = /^(?:Base|Abstract)[A-Z]|Impl$|^I[A-Z][a-z]/
const KEBAB_CASE = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/
const FORBIDDEN_FILE_NAME = /^(?:utils?|helpers?|misc|common|shared)(?:\.|$)|^(?:base|abstract|i)-|-impl(?:\.|$)/
const SUPPRESSION = /(?:oxlint|eslint)-disable|@ts-(?:ignore|nocheck|expect-error)/

/** Every arrow that does not point down, with the line to look at: `stores/memory.ts → cache-manager.ts: ...`. */
export function layerFaults(sources: Sources): string[] {
  const faults: string[] = []
  for (const [file, source] of sources) {
    if (unitOf(file) === undefined) faults.push(`${file}: has no layer, add it to ROWS in test/helpers/architecture.ts`)
    for (const specifier of importsOf(source)) {
      const fault = specifier.startsWith('.')
        ? arrowFault(file, resolve(file, specifier))
        : packageFault(file, specifier)
      if (fault !== undefined) faults.push(`${file} → ${specifier}: ${fault}`)
    }
  }
  return faults
}

/** Every circle of imports, once: `a.ts → b.ts → a.ts`. */
export function circles(sources: Sources): string[] {
  const found = new Map<string, string>()
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file)
    if (start >= 0) {
      const circle = path.slice(start)
      found.set(circle.toSorted().join(), [...circle, file].join(' → '))
      return
    }
    if (done.has(file)) return
    for (const specifier of importsOf(sources.get(file) ?? '')) {
      if (specifier.startsWith('.')) visit(resolve(file, specifier), [...path, file])
    }
    done.add(file)
  }
  for (const file of sources.keys()) visit(file, [])
  return [...found.values()]
}

/** Files, folders and types whose names say what they are instead of what they hold. */
export function nameFaults(sources: Sources): string[] {
  const faults: string[] = []
  for (const [file, source] of sources) {
    faults.push(...pathFaults(file))
    for (const part of file.split('/')) {
      if (FORBIDDEN_FILE_NAME.test(part)) faults.push(`${file}: '${part}' says nothing of what it holds`)
    }
    for (const [, name] of source.matchAll(TYPE_NAME)) {
      if (name !== undefined && FORBIDDEN_TYPE_NAME.test(name))
        faults.push(`${file}: ${name} names a role, not a thing`)
    }
  }
  return faults
}

/** Parts of a path that are not kebab-case. */
export function pathFaults(file: string): string[] {
  return file.split('/').flatMap((part) => (KEBAB_CASE.test(part) ? [] : [`${file}: '${part}' is not kebab-case`]))
}

/** Suppressions of the compiler or the linter that give no reason after ` -- ` (or `: ` for the compiler's). */
export function suppressionFaults(file: string, source: string): string[] {
  return source.split('\n').flatMap((line, index) => {
    const isUnexplained = SUPPRESSION.test(line) && !/ -- \S|@ts-expect-error:? \S/.test(line)
    return isUnexplained ? [`${file}:${index + 1}: a suppression without a reason`] : []
  })
}

function arrowFault(from: string, to: string): string | undefined {
  const target = unitOf(to)
  const origin = unitOf(from)
  if (target === undefined || origin === undefined) return origin && `${to} has no layer`
  if (origin.name === target.name || origin.row < target.row || (origin.row === LEAVES && target.row === LEAVES))
    return undefined
  return origin.row === target.row
    ? `${origin.name} and ${target.name} stand side by side and do not know each other`
    : `an arrow upwards, ${target.name} stands above ${origin.name}`
}

function packageFault(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('node:')) return undefined
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  const users = PACKAGES[name]
  if (users === undefined) return `${name} is not a package that src/ uses, see PACKAGES`
  return users.some((unit) => file.startsWith(unit)) ? undefined : `only ${users.join(', ')} may use ${name}`
}

/** The unit with the longest name that holds the file, and its row. */
function unitOf(file: string): { name: string; row: number } | undefined {
  // One adapter does not know another.
  const adapter = /^adapters\/[^/]+\//.exec(file)?.[0]
  return ROWS.flatMap((units, row) => units.map((unit) => ({ unit, row })))
    .filter(({ unit }) => (unit.endsWith('/') ? file.startsWith(unit) : file === unit))
    .toSorted((one, other) => other.unit.length - one.unit.length)
    .map(({ unit, row }) => ({ name: adapter ?? unit, row }))[0]
}

function importsOf(source: string): string[] {
  return Array.from(source.matchAll(IMPORT), (match) => match[1] ?? match[2] ?? match[3] ?? '')
}

function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1)
}
