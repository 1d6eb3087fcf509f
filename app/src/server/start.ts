/** What happens once, before the first request: the configuration is checked and requests are timed. */
import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import { metrics } from "../../metrics.mjs";
import { redis } from "../../redis.mjs";
import { config } from "./config";

// Other paths share one label: a crawler must not be able to invent time series.
const ROUTES = /^\/(?:_next\/(?:static|image)|api\/[a-z]+|tasks|report|stream|session)(?=[/?]|$)/;

function route(path: string): string {
  if (/^\/(?:\?|$)/.test(path)) return "/";
  return ROUTES.exec(path)?.[0] ?? "other";
}

function timeRequests(): void {
  const stops = new WeakMap<IncomingMessage, (labels: Record<string, string>) => void>();
  subscribe("http.server.request.start", (message) => {
    const { request } = message as { request: IncomingMessage };
    stops.set(request, metrics().httpSeconds.startTimer());
  });
  subscribe("http.server.response.finish", (message) => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
    stops.get(request)?.({
      method: request.method ?? "",
      route: route(request.url ?? ""),
      status: String(response.statusCode),
    });
  });
}

export function start(): void {
  try {
    config();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
  timeRequests();
  redis();
}
