import type { BuildOptions } from 'esbuild'

/** For a bundle below node_modules, where it finds the packages that it imports. */
export const WITHOUT_PACKAGES: BuildOptions

/** For a bundle that lies anywhere: its packages are in it. */
export const WITH_PACKAGES: BuildOptions
