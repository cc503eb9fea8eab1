// Bundles src/main.ts (and the demo's story) into dist/, split so that `--version` loads no more than it needs, and writes
// bin/holdfast. What an earlier build left is removed only afterwards: an agent that runs from here keeps its files till then.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build } from 'esbuild'

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const { metafile } = await build({
  entryPoints: { main: 'src/main.ts', guard: 'src/guard/main.ts', backup: 'src/dump/main.ts', feed: 'src/move/feed-main.ts', demo: 'script/story/main.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  metafile: true,
  define: { HOLDFAST_VERSION: JSON.stringify(version) },
  // What ssh2 has compiled for one machine and one Node: it does without where that is not there.
  external: ['*.node'],
  // Some dependencies are CommonJS: they call require() for node's own modules, and ask where they lie.
  banner: {
    js: "import { createRequire as holdfastRequire } from 'node:module'; const require = holdfastRequire(import.meta.url), __dirname = import.meta.dirname;",
  },
  logLevel: 'warning',
})
const written = new Set(Object.keys(metafile.outputs).map((file) => basename(file)))
for (const file of readdirSync('dist')) if (!written.has(file)) rmSync(join('dist', file), { recursive: true })
mkdirSync('bin', { recursive: true })
writeFileSync(
  'bin/holdfast',
  `#!/bin/sh
# Written by the build. Runs the bundle beside it, wherever this checkout lies and however it was linked to.
here=$(dirname -- "$(readlink -f -- "$0")")
exec node --max-semi-space-size=2 "$here/../dist/main.js" "$@"
`,
)
chmodSync('bin/holdfast', 0o755)
