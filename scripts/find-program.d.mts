/** A program, and where it is found. */
export interface Program {
  /** The environment variable that names its path. */
  readonly variable: string
  /** What it may be called on the PATH. */
  readonly names: readonly string[]
  /** Debian's packages that it is in. */
  readonly packages: readonly string[]
  /** Where it is in them. */
  readonly path: string
  /** The argument that makes it print its version and nothing else. */
  readonly version: string
  /** What to do if there is none. */
  readonly howToGetOne: string
}

/** The path of `program`. Rejects with what to do if there is none. */
export function findProgram(program: Program, env: NodeJS.ProcessEnv): Promise<string>

/** Prints the path that `find` resolves to, if `url` is that of the module that node was started with. */
export function printIfStarted(url: string, find: () => Promise<string>): void
