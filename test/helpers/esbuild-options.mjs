/** What esbuild is told wherever Node is to run TypeScript of the tests, which Node 20 does not. */
const FOR_NODE = { bundle: true, platform: 'node', target: 'node20', format: 'esm', logLevel: 'error' }

/** For a bundle below node_modules, where it finds the packages that it imports. */
export const WITHOUT_PACKAGES = { ...FOR_NODE, packages: 'external' }

/** For a bundle that lies anywhere: its packages are in it. Clients are CommonJS, and require what is built into Node. */
export const WITH_PACKAGES = {
  ...FOR_NODE,
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
}
