/**
 * Finds a program that the tests run: where the environment says, else on the PATH, else, on Debian and Ubuntu, the
 * distribution's package, unpacked for this user alone: no root, nothing installed, kept in the user's cache directory.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Libraries that every system has; another copy of them would not get on with the system's loader. */
const BASE_LIBRARIES = new Set(['libc6', 'libgcc-s1'])

/** The path of `program`. Rejects with what to do if there is none. */
export async function findProgram(program, env) {
  const { variable, names, path } = program
  const chosen = env[variable]
  if (chosen) {
    if (await isExecutable(chosen)) return chosen
    throw new Error(`${variable}: expected the path of ${basename(path)}, got '${chosen}', which cannot be executed`)
  }
  for (const directory of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    for (const name of names) {
      const found = join(directory, name)
      if (await isExecutable(found)) return found
    }
  }
  return unpacked(program, env)
}

/** Prints the path that `find` resolves to, if `url` is that of the module that node was started with. */
export function printIfStarted(url, find) {
  if (url !== pathToFileURL(process.argv[1] ?? '').href) return
  find().then(
    (path) => console.log(path),
    (error) => {
      console.error(error.message)
      process.exitCode = 1
    },
  )
}

function isExecutable(path) {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

async function unpacked(program, env) {
  const { path, howToGetOne } = program
  const release = await debianRelease()
  if (release === undefined) throw new Error(howToGetOne)
  const cache = join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'tidemark')
  const home = join(cache, `${basename(path)}-${release}-${process.arch}`)
  const bin = join(home, basename(path))
  if (await isExecutable(bin)) return bin
  await mkdir(cache, { recursive: true })
  // Made aside and put in place in one step: of several processes at once one wins, and none sees half of it.
  const aside = await mkdtemp(join(cache, '.unpacking-'))
  try {
    await unpack(aside, program, env)
    await rename(aside, home).catch(async (error) => {
      if (!(await isExecutable(bin))) throw error
    })
  } catch (error) {
    throw new Error(`${howToGetOne}\nUnpacking Debian's package failed: ${error.message}`, { cause: error })
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
  return bin
}

/** `bookworm`, or undefined where the packages are not Debian's. */
async function debianRelease() {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const field = (name) => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? ''
  const isDebian = `${field('ID')} ${field('ID_LIKE')}`.split(' ').includes('debian')
  return isDebian ? field('VERSION_CODENAME') || field('VERSION_ID') : undefined
}

async function unpack(home, { packages, path, version }, env) {
  const bin = join(home, basename(path))
  const apt = await privateApt(join(home, 'apt'), env)
  await apt(['update'])
  const root = join(home, 'root')
  let wanted = packages
  const seen = new Set(BASE_LIBRARIES)
  // The system may have the libraries that the program links to; those that it has not are in what it depends on.
  for (let round = 0; round < 4 && wanted.length > 0; round++) {
    for (const name of wanted) seen.add(name)
    const archives = await download(apt, wanted, join(home, `packages-${round}`))
    for (const archive of archives) await run('dpkg-deb', ['-x', archive, root])
    await writeStarter(bin, path)
    if (await answers(bin, version)) break
    wanted = (await dependencies(archives)).filter((name) => !seen.has(name))
  }
  await run(bin, [version])
  for (const name of await readdir(home)) {
    if (name !== 'root' && name !== basename(path)) await rm(join(home, name), { recursive: true })
  }
}

/** apt with state of its own: it needs no root, takes no lock, and leaves the system's lists alone. */
async function privateApt(directory, env) {
  for (const name of ['lists/partial', 'archives/partial']) await mkdir(join(directory, name), { recursive: true })
  const options = {
    'Dir::State': directory,
    'Dir::State::lists': join(directory, 'lists'),
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': directory,
    'Debug::NoLocking': '1',
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '1',
    'Acquire::http::Timeout': '15',
  }
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  return (args, cwd = directory) =>
    run('apt-get', [...flags, '-qq', ...args], { cwd, env: { ...env, LC_ALL: 'C' }, timeout: 120_000 })
}

async function download(apt, names, directory) {
  await mkdir(directory)
  await apt(['download', ...names], directory)
  const archives = await readdir(directory)
  return archives.map((name) => join(directory, name))
}

/** Names of the packages that archives depend on; of alternatives the first. */
async function dependencies(archives) {
  const names = new Set()
  for (const archive of archives) {
    const { stdout } = await run('dpkg-deb', ['-f', archive, 'Depends'])
    for (const one of stdout.split(',')) {
      const name = /^\s*([a-z0-9.+-]+)/.exec(one)?.[1]
      if (name?.startsWith('lib')) names.add(name)
    }
  }
  return [...names]
}

/** A starter that finds the libraries beside it, wherever the cache directory is. */
async function writeStarter(bin, path) {
  const lines = [
    '#!/bin/sh',
    'root=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)/root',
    'for directory in "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu* "$root"/usr/lib; do',
    '  LD_LIBRARY_PATH=$directory${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}',
    'done',
    'export LD_LIBRARY_PATH',
    `exec "$root${path}" "$@"`,
    '',
  ]
  await writeFile(bin, lines.join('\n'))
  await chmod(bin, 0o755)
}

function answers(bin, version) {
  return run(bin, [version]).then(
    () => true,
    () => false,
  )
}
