/**
 * The run-time configuration: the platform's environment contract, checked once at start.
 * Nothing is read while the image is built, so one image serves every stack.
 */
import { z } from "zod";

const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const url = (...schemes: string[]) =>
  z.string().refine(
    (text) => URL.canParse(text) && schemes.includes(new URL(text).protocol),
    `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(" or ")}`,
  );
const postgres = url("postgresql:", "postgres:").refine(
  (text) => !/[?&]pgbouncer=true/.test(text),
  "must not contain pgbouncer=true; the pool handles prepared statements itself",
);
const key32 = z.string().refine(
  (text) =>
    Buffer.byteLength(text) === 32 ||
    /^[0-9a-f]{64}$/i.test(text) ||
    (/^[A-Za-z0-9+/]{43}=$/.test(text) && Buffer.from(text, "base64").length === 32),
  "must be 32 bytes: 44 characters of base64, 64 of hex, or 32 of text",
);

const schema = z.object({
  APP_ENV: z.enum(["development", "staging", "production"]),
  DEPLOYMENT_VERSION: z.string().refine((text) => text !== "latest", "must name one build, not latest"),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),

  DATABASE_URL: postgres,
  DATABASE_POOL_SIZE: whole(1, 100).default(10),
  DATABASE_TIMEOUT: whole(1, 600_000).default(30_000),
  REDIS_URL: url("redis:", "rediss:"),
  REDIS_TTL: whole(1, 2_592_000).default(3_600),
  CACHE_KEY_PREFIX: z.string(),

  NEXTAUTH_URL: url("http:", "https:"),
  NEXTAUTH_SECRET: z.string().min(32, "must have at least 32 characters"),
  JWT_SECRET: z.string().min(32, "must have at least 32 characters"),
  ENCRYPTION_KEY: key32,
  ENCRYPTION_KEY_PREVIOUS: key32.optional(),

  UPLOAD_MAX_SIZE: whole(1, 10_000_000_000).default(50_000_000),
  OPENAI_API_KEY: z.string().startsWith("sk-", "must start with sk-").optional(),
  GITHUB_CLIENT_ID: z.string().optional(),

  NEW_EDITOR: flag.default(false),
  BATCH_PROCESSING: flag.default(false),
  TEAM_FEATURES: flag.default(false),
  DEBUG_MODE: flag.default(false),
  DEGRADED_MODE: flag.default(false),
  MAINTENANCE_MODE: flag.default(false),
  SECURITY_MODE: z.enum(["standard", "enhanced"]).default("standard"),
});

export type Config = z.infer<typeof schema>;

let checked: Config | undefined;

/** Throws one error that lists everything that is wrong; never a value, as many are secret. */
export function config(): Config {
  return (checked ??= check(process.env));
}

export function check(environment: Record<string, string | undefined>): Config {
  const present = Object.entries(environment).filter(([, value]) => value !== "");
  const result = schema.safeParse(Object.fromEntries(present));
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `  ${name}: ${environment[name] ? issue.message : "is missing"}`;
  });
  throw new Error(
    `the configuration is invalid, ${problems.length} problem(s):\n${problems.join("\n")}\n` +
      "set these variables in the environment of the container",
  );
}
