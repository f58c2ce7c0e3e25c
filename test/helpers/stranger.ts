/** The library as somebody gets it who knows only the package: built into a folder of its own, beside no sources. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository, without a slash at its end. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '')

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A new, empty folder outside the checkout, so that nothing is found there by walking up. The caller removes it. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'tidemark-'))
}

/**
 * Writes what the package holds (`package.json`, documents, a fresh `dist`) into `folder`. The checkout's own `dist` is
 * left alone: other tests may be reading it.
 */
export async function buildPackage(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const documents = ['README.md', 'LICENSE', 'CHANGELOG.md'].filter((file) => existsSync(join(ROOT, file)))
  for (const file of ['package.json', ...documents]) await cp(join(ROOT, file), join(folder, file))
  const { code, stdout } = await tsc(['-p', 'tsconfig.build.json', '--outDir', join(folder, 'dist')], ROOT)
  if (code !== 0) throw new Error(`the library does not build:\n${stdout}`)
}

/** Makes the checkout's dependencies, and a freshly built tidemark among them, importable from `folder`. */
export async function linkDependencies(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules')
  await buildPackage(join(modules, 'tidemark'))
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.')) await symlink(join(ROOT, 'node_modules', name), join(modules, name), 'junction')
  }
}

/** Runs the compiler of this repository. */
export function tsc(args: readonly string[], cwd: string): Promise<Outcome> {
  return run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), ...args], { cwd })
}

/** Runs a program to its end; one that needs more than `timeoutMs` is killed, and fails. */
export function run(
  program: string,
  args: readonly string[],
  { cwd, env = process.env, timeoutMs = 120_000 }: { cwd: string; env?: NodeJS.ProcessEnv; timeoutMs?: number },
): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env, timeout: timeoutMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const late = error?.killed === true ? `\n(killed: it did not end by itself within ${timeoutMs} ms)` : ''
      resolve({ code: exitCode(error), stdout, stderr: stderr + late })
    })
  })
}

function exitCode(error: { code?: unknown } | null): number {
  if (error === null) return 0
  return typeof error.code === 'number' ? error.code : 1
}
