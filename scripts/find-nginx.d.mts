/** The path of an nginx. Rejects with what to do if there is none. */
export function findNginx(env?: NodeJS.ProcessEnv): Promise<string>
