/** Which setting counts: those of the code lie above those of the environment, in each the fields above the URL's parts. */
import type { ConfigurationFault } from '../exceptions.ts'
import { showGuarded } from './field.ts'
import { refuseTwoPlaces, withoutOtherPlaces } from './place.ts'
import { parseRedisUrl, type RedisUrlParts } from './redis-url.ts'
import type { FieldPath } from './schema.ts'
import type { Settings } from './settings.ts'

/** The settings that count. Faults: what contradicts itself within the code, or within the environment. */
export function layer(code: Settings, environment: Settings, faults: ConfigurationFault[]): Settings {
  refuseTwoPlaces(code, faults)
  refuseTwoPlaces(environment, faults)
  const below = withoutOtherPlaces(environment, code)
  if (code.has('redis.url')) below.delete('redis.url')
  const above = withUrlParts(code, faults)
  const result = withUrlParts(below, faults)
  // A socket and a server are two answers to one question.
  if (above.has('redis.host') || above.has('redis.port')) result.delete('redis.path')
  for (const [path, setting] of above) result.set(path, setting)
  return result
}

function withUrlParts(settings: Settings, faults: ConfigurationFault[]): Settings {
  const url = settings.get('redis.url')
  const parts = parseRedisUrl(url?.value)
  if (url === undefined || parts === undefined) return new Map(settings)
  const refuse = (path: FieldPath, what: string): void => {
    const setting = settings.get(path)
    if (setting === undefined) return
    faults.push({
      path: setting.name,
      expected: `not to contradict ${url.name}, ${what}`,
      got: showGuarded(setting.value),
    })
  }
  if (parts.path !== undefined) {
    refuse('redis.host', 'which names a unix socket')
    refuse('redis.port', 'which names a unix socket')
  }
  if (parts.ssl && settings.get('redis.ssl')?.value === false) refuse('redis.ssl', 'which asks for TLS')
  const result: Settings = new Map()
  for (const part of Object.keys(parts) as (keyof RedisUrlParts)[]) {
    result.set(`redis.${part}`, { name: url.name, value: parts[part] })
  }
  for (const [path, setting] of settings) result.set(path, setting)
  return result
}
