/**
 * What this process counts, for /api/metrics.
 * Pages and the cache handler are loaded separately, so the registry hangs on the process.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

const slot = Symbol.for("nextstack.metrics");

function create() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    httpSeconds: new Histogram({
      name: "app_http_request_duration_seconds",
      help: "Time from request to the end of the response",
      labelNames: ["method", "route", "status"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 5, 30],
      registers,
    }),
    querySeconds: new Histogram({
      name: "app_db_query_duration_seconds",
      help: "Time of a database query, waiting for a connection included",
      labelNames: ["query", "outcome"],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
      registers,
    }),
    poolConnections: new Gauge({
      name: "app_db_pool_connections",
      help: "Database connections of this pod by state",
      labelNames: ["state"],
      registers,
    }),
    cacheReads: new Counter({
      name: "app_cache_reads_total",
      help: "Reads of the shared cache by use and result",
      labelNames: ["use", "result"],
      registers,
    }),
    errors: new Counter({
      name: "app_errors_total",
      help: "Failures by where they happened",
      labelNames: ["where"],
      registers,
    }),
  };
}

/** @returns {ReturnType<typeof create>} */
export function metrics() {
  const shared = /** @type {Record<symbol, ReturnType<typeof create> | undefined>} */ (
    /** @type {unknown} */ (globalThis)
  );
  return (shared[slot] ??= create());
}
