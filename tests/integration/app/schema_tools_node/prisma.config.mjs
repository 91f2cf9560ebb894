// Copyright: Dihya Migration contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import { PrismaPg } from '@prisma/adapter-pg'

// Neither the timer of the engine's lock nor connections at rest shall keep the command alive for ten seconds.
const later = globalThis.setTimeout
globalThis.setTimeout = (work, pause, ...given) => (pause === 10000 ? later(work, pause, ...given).unref() : later(work, pause, ...given))

export default {
  experimental: { adapter: true },
  engine: 'js',
  schema: 'prisma/schema.prisma',
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL, idleTimeoutMillis: 100 }),
}
