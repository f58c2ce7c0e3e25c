/** Reads the `sh` blocks of the documents: which commands there are, and which request a `curl` makes. */

export interface Command {
  readonly words: readonly string[]
  /** What stands behind `# →`: text that the answer holds. */
  readonly expected: readonly string[]
}

export interface Request {
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly expected: readonly string[]
}

/** What changes only what `curl` prints. */
const PRINTING_OPTION = /^-[isvSNf]+$/

const WORD = /'([^']*)'|"((?:\\.|[^"\\])*)"|([^\s'"]+)/g

/** The commands of a block; `\` at the end of a line continues it, and `VAR=value` in front of a command is dropped. */
export function commandsOf(code: string): Command[] {
  const lines = code.replaceAll(/\\\n\s*/g, ' ').split('\n')
  return lines.flatMap((line) => {
    const [, commands = '', comment = ''] = /^((?:'[^']*'|"[^"]*"|[^#'"]|(?<=\S)#)*)(?:#(.*))?$/.exec(line) ?? []
    const expected = comment
      .split('→')
      .slice(1)
      .map((text) => text.trim())
    return commands
      .split(' && ')
      .map((command) => wordsOf(command.replace(/^\s*\$ /, '')))
      .map((words) => words.slice(words.findIndex((word) => !/^[A-Z_][A-Z0-9_]*=/.test(word))))
      .filter((words) => words.length > 0)
      .map((words) => ({ words, expected }))
  })
}

/** The request of a `curl` command. @throws {Error} for an option that a document has not used yet */
export function requestOf({ words, expected }: Command): Request {
  const args = words.slice(1)
  const take = (...names: readonly string[]): string | undefined => {
    const at = args.findIndex((arg) => names.includes(arg))
    return at < 0 ? undefined : args.splice(at, 2)[1]
  }
  const json = take('--json')
  const body = json ?? take('-d', '--data')
  const method = take('-X', '--request') ?? (body === undefined ? 'GET' : 'POST')
  const headers: Record<string, string> = json === undefined ? {} : { 'content-type': 'application/json' }
  for (let header = take('-H', '--header'); header !== undefined; header = take('-H', '--header')) {
    const colon = header.indexOf(':')
    headers[header.slice(0, colon).toLowerCase()] = header.slice(colon + 1).trim()
  }
  const [address, ...rest] = args.filter((arg) => !PRINTING_OPTION.test(arg))
  if (address === undefined || rest.length > 0)
    throw new Error(`not understood by test/helpers/shell.ts: ${words.join(' ')}`)
  const url = /^\w+:\/\//.test(address) ? address : `http://${address}`
  return { url, method, headers, expected, ...(body === undefined ? {} : { body }) }
}

function wordsOf(command: string): string[] {
  return Array.from(command.matchAll(WORD), ([, single, double, bare]) => {
    return single ?? double?.replaceAll(/\\(.)/g, '$1') ?? bare ?? ''
  })
}
