/** The code blocks of a Markdown file, each as a module that keeps the line numbers of the document. */

export interface Block {
  /** The document, as a path from the root of the repository. */
  readonly file: string
  /** Where the block's first line of code stands; the first line is 1. */
  readonly line: number
  /** What stands behind the opening fence: `ts`, `sh`, ... or nothing. */
  readonly language: string
  /** What a reader sees. */
  readonly code: string
  /** What is run: the code, what hidden comments put around it, and everything else of the document as empty lines. */
  readonly module: string
  /** Why the block is compiled but not run, if a comment says so. */
  readonly compileOnly: string | undefined
}

interface Piece {
  readonly line: number
  readonly lines: readonly string[]
}

interface Draft extends Omit<Block, 'code' | 'module'>, Piece {
  /** What comes before the block, and the block. */
  readonly pieces: readonly Piece[]
  readonly after: Piece[]
}

const FENCE = /^(\s*)(`{3,})\s*(\S*)\s*$/
const COMMENT = /^<!--\s*(before|after|continues|compile only:)\s*(.*)$/

/** Reads a document from top to bottom. `test/docs.test.ts` explains the comments. */
export function blocksOf(file: string, text: string): Block[] {
  const lines = text.split('\n')
  const drafts: Draft[] = []
  let before: Piece[] = []
  let compileOnly: string | undefined
  for (let at = 0; at < lines.length; at++) {
    const comment = COMMENT.exec(lines[at]!)
    const fence = FENCE.exec(lines[at]!)
    if (comment !== null) {
      const end = lines.findIndex((line, index) => index >= at && line.includes('-->'))
      if (end < 0) throw new Error(`${file}:${at + 1}: the comment does not end`)
      const piece = { line: at + 2, lines: lines.slice(at + 1, end) }
      const last = drafts.at(-1)
      if (comment[1] === 'before') before.push(piece)
      else if (comment[1] === 'compile only:') compileOnly = comment[2]!.replace(/\s*-->.*$/, '')
      else if (last === undefined) throw new Error(`${file}:${at + 1}: '${comment[1]}' comes after no block`)
      else if (comment[1] === 'after') last.after.push(piece)
      else before.unshift(...last.pieces)
      at = end
    } else if (fence !== null) {
      const end = lines.findIndex((line, index) => index > at && line.trim() === fence[2])
      if (end < 0) throw new Error(`${file}:${at + 1}: the code block does not end`)
      const own = { line: at + 2, lines: lines.slice(at + 1, end).map((line) => line.slice(fence[1]!.length)) }
      drafts.push({ file, language: fence[3]!, compileOnly, ...own, pieces: [...before, own], after: [] })
      before = []
      compileOnly = undefined
      at = end
    }
  }
  return drafts.map(({ pieces, after, lines: code, ...block }) => {
    return { ...block, code: code.join('\n'), module: joined([...pieces, ...after]) }
  })
}

/** Puts every piece at the lines where it stands in the document, so that a compiler's message leads there. */
function joined(pieces: readonly Piece[]): string {
  const lines: string[] = []
  for (const piece of pieces) {
    for (const [index, line] of piece.lines.entries()) lines[piece.line - 1 + index] = line
  }
  return Array.from(lines, (line: string | undefined) => line ?? '').join('\n')
}
