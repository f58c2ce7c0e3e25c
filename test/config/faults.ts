/** What a configuration is refused for; it may be one that the compiler would refuse too. */
import type { ApplicationConfig } from '../../src/config/application-config.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { CacheConfigurationError, type ConfigurationFault } from '../../src/exceptions.ts'

export function errorOf(config: unknown, env: NodeJS.ProcessEnv = {}): CacheConfigurationError {
  try {
    loadConfig(env, config as ApplicationConfig)
  } catch (error) {
    if (error instanceof CacheConfigurationError) return error
    throw error
  }
  throw new Error('the configuration was accepted')
}

export function faultsOf(config: unknown, env: NodeJS.ProcessEnv = {}): readonly ConfigurationFault[] {
  return errorOf(config, env).faults
}

/** The paths of the faults, in their order. */
export function refused(config: unknown, env: NodeJS.ProcessEnv = {}): string[] {
  return faultsOf(config, env).map(({ path }) => path)
}
