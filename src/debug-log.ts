/** `debug: true`: what a cache does, in the log. A listener like any other, so that it costs nothing when it is off. */
import type { Events } from './events.ts'
import { nameOf, quoted } from './telemetry.ts'

/** No more names than this in one line. */
const MAX_NAMES = 10

/** Logs loads and invalidations; hits and misses are for the statistics. */
export function logEvents(events: Events, log: (message: string) => void): void {
  events.on('load', ({ durationMs, ...entry }) => log(`a load took ${durationMs} ms${nameOf(entry)}`))
  events.on('delete', ({ keys, namespace, deleted }) => {
    log(`deleted ${listed(keys)}, of which ${deleted} were there${nameOf({ namespace })}`)
  })
  events.on('invalidate', ({ tags, soft }) => log(`invalidated${soft ? ' softly' : ''} the tags ${listed(tags)}`))
  events.on('clear', ({ namespace }) =>
    log(namespace === undefined ? 'cleared everything' : `cleared${nameOf({ namespace })}`),
  )
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).map(quoted).join(', ')
  return names.length > MAX_NAMES ? `${shown} and ${names.length - MAX_NAMES} more` : shown
}
