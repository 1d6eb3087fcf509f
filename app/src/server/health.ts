/**
 * What this pod can say about itself and about what it depends on, within two seconds.
 * For monitoring and people; the probes of the pod use cheaper answers.
 */
import { statfs } from "node:fs/promises";
import { constrainedMemory, memoryUsage, uptime } from "node:process";
import { redis } from "../../redis.mjs";
import { config } from "./config";
import { query } from "./database";

export type Check = {
  status: "ok" | "error" | "not configured";
  ms?: number;
  percent?: number;
  error?: string;
};
export type Health = {
  status: "ok" | "error";
  timestamp: string;
  version: string;
  uptime: number;
  database: Check;
  redis: Check;
  openai: Check;
  github: Check;
  disk: Check;
  memory: Check;
};

const LIMIT_MS = 1_500;
// Third parties are asked at most this often, however many monitors ask us.
const THIRD_PARTY_FRESH_MS = 30_000;
const DISK_FULL_PERCENT = 95;
const MEMORY_FULL_PERCENT = 95;

function withinLimit<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(), { code: "TIMEOUT" })), LIMIT_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The answer is public, so an error is told by its code: messages may name hosts and users. */
async function timed(work: () => Promise<unknown>): Promise<Check> {
  const start = performance.now();
  try {
    await withinLimit(work());
    return { status: "ok", ms: Math.round((performance.now() - start) * 10) / 10 };
  } catch (error) {
    const { code } = (error instanceof Error && error.cause ? error.cause : error) as { code?: unknown };
    return { status: "error", error: typeof code === "string" ? code : "unreachable" };
  }
}

export function databaseCheck(): Promise<Check> {
  return timed(() => query("health", "select 1", [], LIMIT_MS));
}

export function redisCheck(): Promise<Check> {
  return timed(() => redis().ping());
}

const remembered = new Map<string, { at: number; check: Promise<Check> }>();

function thirdParty(url: string, headers: Record<string, string>): Promise<Check> {
  const known = remembered.get(url);
  if (known && Date.now() - known.at < THIRD_PARTY_FRESH_MS) return known.check;
  const check = timed(async () => {
    const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
    if (!answer.ok) throw Object.assign(new Error(), { code: `HTTP_${answer.status}` });
  });
  remembered.set(url, { at: Date.now(), check });
  return check;
}

function openaiCheck(): Check | Promise<Check> {
  const { OPENAI_API_KEY } = config();
  if (!OPENAI_API_KEY) return { status: "not configured" };
  return thirdParty("https://api.openai.com/v1/models", { authorization: `Bearer ${OPENAI_API_KEY}` });
}

function githubCheck(): Check | Promise<Check> {
  if (!config().GITHUB_CLIENT_ID) return { status: "not configured" };
  return thirdParty("https://api.github.com/rate_limit", { "user-agent": "nextstack-sample" });
}

async function diskCheck(): Promise<Check> {
  const { blocks, bavail } = await statfs("/tmp");
  return share(1 - bavail / blocks, DISK_FULL_PERCENT);
}

function memoryCheck(): Check {
  const limit = constrainedMemory();
  // Without a limit the kernel answers 0 or a number beyond any machine.
  if (!limit || limit > 2 ** 50) return { status: "ok" };
  return share(memoryUsage.rss() / limit, MEMORY_FULL_PERCENT);
}

function share(used: number, full: number): Check {
  const percent = Math.round(used * 100);
  return { status: percent < full ? "ok" : "error", percent };
}

export async function health(): Promise<Health> {
  const [database, cache, openai, github, disk] = await Promise.all([
    databaseCheck(),
    redisCheck(),
    openaiCheck(),
    githubCheck(),
    diskCheck(),
  ]);
  const checks = { database, redis: cache, openai, github, disk, memory: memoryCheck() };
  const failed = Object.values(checks).some((check) => check.status === "error");
  return {
    status: failed ? "error" : "ok",
    timestamp: new Date().toISOString(),
    version: config().DEPLOYMENT_VERSION,
    uptime: Math.round(uptime()),
    ...checks,
  };
}
