/** What the commands `check:model`, `check:races` and `check:chaos` have in common: what is wrong with how they were called is one line. */
import { parseArgs, type ParseArgsConfig } from 'node:util'

/** The command was called in a way that it does not know: the message is for whoever called it, without a stack. */
export class UsageError extends Error {}

/** `parseArgs`, which throws errors for programs. @throws {UsageError} */
export function optionsIn<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>>['values'] {
  try {
    return parseArgs(config).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/** @throws {UsageError} unless `text` is a whole number of at least `least` */
export function wholeNumber(name: string, text: string, least: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(number) && number >= least) return number
  throw new UsageError(`--${name}: expected a whole number of at least ${least}, got '${text}'`)
}

/** Runs a command; how it was called wrongly is told in one line, and is a failure. */
export async function told(command: () => Promise<boolean>): Promise<boolean> {
  try {
    return await command()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n`)
    return false
  }
}
