/** The path of a redis-server. Rejects with what to do if there is none. */
export function findRedisServer(): Promise<string>

/** The same for another environment, and looked up anew. */
export function find(env: NodeJS.ProcessEnv): Promise<string>
