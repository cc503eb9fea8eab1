/**
 * The redis.conf of the recipes: redis' own defaults, with only what a host needs to be reached. Persistence is what the
 * distributions ship (RDB snapshots after minutes, no AOF), because that is what most of these installations run. PURE.
 */

export function plainRedisConf(host: { readonly dir: string; readonly replicaOf: string | null; readonly port?: number }): string {
  return `port ${host.port ?? 6379}
bind 0.0.0.0
protected-mode no
daemonize yes
dir ${host.dir}
logfile ${host.dir}/redis.log
save 3600 1
save 300 100
save 60 10000
${host.replicaOf === null ? '' : `replicaof ${host.replicaOf} ${host.port ?? 6379}\n`}`
}
