/**
 * Every code block of README.md and docs/ is true: it compiles against the built package, runs, and does what it says.
 *
 * For who writes documents:
 *
 * - `ts` and `js`: a complete module, imports included. All are type-checked; each is run in a process of its own, as a
 *   user's module would be, against `tidemark` as it is packed. It must end by itself within 20 s.
 * - `// → text` behind a line, or alone on one: the block prints this text. All of them must be printed, in this order,
 *   each as whole words; where `console.log` breaks a line does not matter.
 * - Ports are those a reader would use. Every server listens on a free port instead, and requests to the named port find
 *   it; `localhost:6379` is a Redis of the block's own. A block that starts a server is stopped once its own code has
 *   ended, the server listens and the requests below it are answered; what it does besides, it awaits.
 * - `sh`: commands this test knows. `npm run` must name a script, a file or folder must exist. A block of `curl`s that
 *   follows a block with a server is what is asked of that server; `# → text` behind a `curl` must occur in the answer
 *   (status, headers, body), and without it the answer must be a success.
 * - `json` must parse. `text`, `http`, ... are only shown. A block that names no language is refused.
 *
 * What a reader need not see stands in a comment of its own:
 *
 *     <!-- before                          code put in front of the next block
 *     const db = { user: async (id: number) => ({ id, name: 'Ada' }) }
 *     -->
 *     <!-- after                           code put behind the block above, at the end
 *     await app.close()
 *     -->
 *     <!-- continues -->                   the next block goes on where the one above ended: both are run as one
 *     <!-- compile only: why -->           the next block is type-checked, not run
 *
 * A compiler's message and a stack trace give the line of the document.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { blocksOf, type Block } from './helpers/markdown.ts'
import { startRedis } from './helpers/redis.ts'
import { commandsOf, requestOf, type Command, type Request } from './helpers/shell.ts'
import { ROOT, linkDependencies, run, temporaryFolder, tsc, type Outcome } from './helpers/stranger.ts'

const CHECKED = new Set(['ts', 'js', 'sh', 'json'])
const SHOWN = new Set(['text', 'http', 'console', 'diff', 'yaml', 'dockerfile', 'lua', 'promql'])
const RUNNER = join(ROOT, 'test/helpers/run-document-block.mjs')
const TIMEOUT_MS = 20_000

const scripts = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }).scripts
const documents = ['README.md', 'CONTRIBUTING.md', ...markdownBelow('docs')].filter((file) =>
  existsSync(join(ROOT, file)),
)
const texts = new Map(documents.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))
const blocks = Array.from(texts, ([file, text]) => blocksOf(file, text)).flat()
const modules = blocks.filter(isModule)

let folder: string
let compiled: Outcome

beforeAll(async () => {
  folder = await temporaryFolder()
  await linkDependencies(folder)
  for (const block of modules) await write(pathOf(block), block.module)
  await write('package.json', JSON.stringify({ type: 'module' }))
  await write('tsconfig.json', JSON.stringify({ compilerOptions: COMPILER_OPTIONS, files: modules.map(pathOf) }))
  compiled = await tsc(['-p', '.'], folder)
}, 120_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

/** What a user's own project would have; `noEmit` is off because the blocks are run from what is emitted. */
const COMPILER_OPTIONS = {
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023', 'esnext.disposable', 'esnext.decorators'],
  types: ['node'],
  strict: true,
  moduleDetection: 'force',
  allowJs: true,
  checkJs: true,
  skipLibCheck: true,
  sourceMap: true,
  rootDir: '.',
  outDir: 'out',
}

describe('the documents', () => {
  test('there is a README, and it shows code', () => {
    expect(blocks.filter((block) => block.file === 'README.md' && isModule(block))).not.toEqual([])
  })

  test('every block names a language that is checked, or shown', () => {
    const unknown = blocks.filter(({ language }) => !CHECKED.has(language) && !SHOWN.has(language))
    expect(unknown.map(placeOf)).toEqual([])
  })

  test('every link leads to a file that is there', () => {
    const broken = Array.from(texts, ([file, text]) =>
      linksOf(text)
        .filter((link) => !existsSync(join(ROOT, dirname(file), link)))
        .map((link) => `${file}: ${link}`),
    )
    expect(broken.flat()).toEqual([])
  })

  test('json blocks parse', () => {
    for (const block of blocks.filter(({ language }) => language === 'json')) {
      expect(() => JSON.parse(block.code) as unknown, placeOf(block)).not.toThrow()
    }
  })

  test('sh blocks hold commands that exist', () => {
    const faults = blocks
      .filter(({ language }) => language === 'sh')
      .flatMap((block) => commandsOf(block.code).map((command) => [placeOf(block), commandFault(command)]))
    expect(faults.filter(([, fault]) => fault !== undefined)).toEqual([])
  })

  test('a block of requests follows a server, or the command that starts one', () => {
    const requests = blocks.filter(isRequests)
    expect(requests.filter((block) => serverOf(block) === undefined).map(placeOf)).toEqual([])
  })

  test('ts and js blocks compile', () => {
    const messages = compiled.stdout.replaceAll(/^(\S+\.md)\.\d+\.\w+\(/gm, '$1(')
    expect(compiled.code, messages).toBe(0)
  })

  for (const block of modules.filter(({ compileOnly }) => compileOnly === undefined)) {
    test(`${placeOf(block)} runs`, { timeout: 2 * TIMEOUT_MS }, async () => {
      const { code, stdout, stderr } = await runBlock(block)
      expect(code, stderr).toBe(0)
      expectPrinted(stdout, expectedOf(block))
    })
  }
})

async function runBlock(block: Block): Promise<Outcome> {
  const redis = /redis/i.test(block.module) ? await startRedis() : undefined
  const requests = blocks.filter((each) => isRequests(each) && serverOf(each) === block).flatMap(requestsOf)
  const env = {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    TIDEMARK_DOCS: JSON.stringify({ redisPort: redis?.port, requests }),
  }
  const file = join('out', pathOf(block).replace(/ts$/, 'js'))
  const args = ['--enable-source-maps', RUNNER, file]
  const outcome = await run(process.execPath, args, { cwd: folder, env, timeoutMs: TIMEOUT_MS })
  await redis?.stop()
  return outcome
}

/** Each text is printed, in this order, as whole words; how `console.log` breaks its lines does not matter. */
function expectPrinted(stdout: string, expected: readonly string[]): void {
  const inOneLine = (text: string): string => ` ${text.replaceAll(/\s+/g, ' ').trim()} `
  let rest = inOneLine(stdout)
  for (const text of expected) {
    const at = rest.indexOf(inOneLine(text))
    expect(at, `expected to print '${text}', after what was printed before it:\n${stdout}`).toBeGreaterThanOrEqual(0)
    rest = rest.slice(at + inOneLine(text).length - 1)
  }
}

function expectedOf(block: Block): string[] {
  return Array.from(block.module.matchAll(/\/\/ → (.*)$/gm), (match) => match[1] ?? '')
}

function markdownBelow(name: string): string[] {
  const entries = existsSync(join(ROOT, name))
    ? readdirSync(join(ROOT, name), { recursive: true, encoding: 'utf8' })
    : []
  return entries.filter((path) => path.endsWith('.md')).map((path) => `${name}/${path.replaceAll('\\', '/')}`)
}

function linksOf(text: string): string[] {
  const links = Array.from(text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g), (match) => match[1] ?? '')
  return links.filter((link) => !/^[a-z]+:/.test(link))
}

function isModule(block: Block): boolean {
  return block.language === 'ts' || block.language === 'js'
}

function isRequests(block: Block): boolean {
  const commands = block.language === 'sh' ? commandsOf(block.code) : []
  return commands.length > 0 && commands.every(({ words }) => words[0] === 'curl')
}

function requestsOf(block: Block): Request[] {
  return commandsOf(block.code).map(requestOf)
}

/** The block above that starts what `block` makes requests to. */
function serverOf(block: Block): Block | undefined {
  const above = blocks.filter(({ file, line }) => file === block.file && line < block.line)
  return above.findLast((each) => /\.listen\(|^npm start/m.test(each.module))
}

function commandFault({ words }: Command): string | undefined {
  const [program = '', argument = '', script = ''] = words
  if (['curl', 'docker', 'export', 'git', 'mkdir', 'redis-cli'].includes(program)) return undefined
  if (program === 'npm') return npmFault(argument, script)
  const path = { node: argument, cd: argument, npx: `node_modules/.bin/${argument}` }[program] ?? program
  return existsSync(join(ROOT, path)) ? undefined : `${words.join(' ')}: ${path} is not there`
}

function npmFault(command: string, script: string): string | undefined {
  if (['ci', 'i', 'init', 'install', 'pack'].includes(command)) return undefined
  const name = command === 'run' ? script : command
  return name in scripts ? undefined : `npm ${command} ${script}: package.json has no such script`
}

function pathOf(block: Block): string {
  const isCommonJs = block.language === 'js' && !/^import\b/m.test(block.module)
  return `${block.file}.${block.line}.${isCommonJs ? 'cjs' : block.language}`
}

function placeOf(block: Block): string {
  return `${block.file}:${block.line}`
}

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), text)
}
