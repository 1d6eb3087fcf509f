import { fileURLToPath } from "node:url";
import type { NextConfig } from "next";

const root = fileURLToPath(new URL(".", import.meta.url));

// Next.js fixes both of its body limits at build time. nginx enforces UPLOAD_MAX_SIZE at run time, so
// these two must only never be the lower ones.
const bodyLimit = Number(process.env.UPLOAD_MAX_SIZE ?? 50_000_000);

const config: NextConfig = {
  output: "standalone",
  outputFileTracingRoot: root,
  turbopack: { root },
  // migrate.mjs runs in the same image; it is not imported by any page.
  outputFileTracingIncludes: { "/*": ["./migrate.mjs", "./migrations/**", "./redis.mjs", "./metrics.mjs"] },
  // Kept out of the bundles: migrate.mjs needs pg, the cache handler needs the other two.
  serverExternalPackages: ["pg", "ioredis", "prom-client"],

  // Every replica reads and writes the same cache. The default one is private to each pod and writes
  // refreshed pages below .next/server, which is read-only. Switching that off instead, by
  // isrFlushToDisk, would also switch off the image cache (next 16.4, server/image-optimizer.js).
  cacheHandler: fileURLToPath(new URL("cache-handler.mjs", import.meta.url)),
  cacheMaxMemorySize: 0,

  // Seconds; a cache on the way may show a page this long, 300 of them fresh. Unset: a year.
  expireTime: 900,

  // nginx is the only one to compress and to send headers.
  compress: false,
  poweredByHeader: false,

  images: {
    formats: ["image/avif", "image/webp"],
    // Unset means half of the node's free disk, above the volume's limit: the pod would be evicted.
    maximumDiskCacheSize: 256 * 1024 * 1024,
  },
  experimental: {
    proxyClientMaxBodySize: bodyLimit,
    serverActions: { bodySizeLimit: bodyLimit },
  },
};

export default config;
