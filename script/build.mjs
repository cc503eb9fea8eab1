// Bundles src/main.ts into dist/ (split, so that `--version` loads no more than it needs) and writes bin/holdfast.
import { build } from 'esbuild'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
rmSync('dist', { recursive: true, force: true })
await build({
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  define: { HOLDFAST_VERSION: JSON.stringify(version) },
  // Some dependencies are CommonJS and call require() for node's own modules.
  banner: { js: "import { createRequire as holdfastRequire } from 'node:module'; const require = holdfastRequire(import.meta.url);" },
  logLevel: 'warning',
})
mkdirSync('bin', { recursive: true })
writeFileSync(
  'bin/holdfast',
  `#!/bin/sh
# Written by the build. Runs the bundle beside it, wherever this checkout lies and however it was linked to.
here=$(dirname -- "$(readlink -f -- "$0")")
exec node --enable-source-maps "$here/../dist/main.js" "$@"
`,
)
chmodSync('bin/holdfast', 0o755)
