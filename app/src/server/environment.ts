/**
 * The environment contract, typed: what the image build and the pods get from the platform.
 * Made by: ./nextstack env --format typescript. Leaves out reading and reporting, see config.ts.
 */
import { z } from "zod";

const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const whole = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/, "must be a whole number")
    .transform(Number)
    .pipe(z.number().min(least).max(most));
const text = (pattern: RegExp, allowed: string) => z.string().regex(pattern, `must be ${allowed}`);

/** What the pods run with. */
export const runtimeEnvironment = z.object({
  /** Fixed: Next.js knows no staging. */
  NODE_ENV: z.enum(["production"]),
  /** Name of the stage. */
  APP_ENV: z.enum(["development", "staging", "production"]),
  /** Port that the application listens on. */
  PORT: whole(1024, 65535),
  /** Else Next.js binds to the pod's name only. */
  HOSTNAME: z.enum(["0.0.0.0"]),
  /** The platform's proxy sets the forwarded headers. */
  AUTH_TRUST_HOST: flag,
  /** Address of the site. */
  NEXT_PUBLIC_APP_URL: text(/^(http|https):\/\/[^\/?#\s]/, "a URL that starts with http:// or https://"),
  /** Address of the API. */
  NEXT_PUBLIC_API_URL: text(/^(http|https):\/\/[^\/?#\s]/, "a URL that starts with http:// or https://"),
  /** Version that Next.js checks for skew. */
  NEXT_DEPLOYMENT_ID: z.string().min(1),
  /** Commit that the image was built from. */
  DEPLOYMENT_VERSION: z.string().min(1),
  /** Equal in all replicas and the build. */
  NEXT_SERVER_ACTIONS_ENCRYPTION_KEY: text(/^([A-Za-z0-9+\/]{43}=)$/, "32 bytes in base64"),
  /** ms; above nginx's 60 s. */
  KEEP_ALIVE_TIMEOUT: whole(61000, 600000),
  /** Heap limit, from the container's memory. */
  NODE_OPTIONS: z.string().min(1),
  /** Keeps glibc from fragmenting memory. */
  MALLOC_ARENA_MAX: whole(1, 64),
  /** Of a build. */
  CACHE_KEY_PREFIX: text(/^(\S+:)$/, "text that ends with a colon"),
  /** File with the database's certificate authorities. */
  NODE_EXTRA_CA_CERTS: text(/^(\/\S+)$/, "an absolute path").optional(),
  /** Key of the session cookies. */
  NEXTAUTH_SECRET: text(/^(\S{32,})$/, "32 characters or more"),
  /** Address of the site, for sign-in. */
  NEXTAUTH_URL: text(/^(http|https):\/\/[^\/?#\s]/, "a URL that starts with http:// or https://"),
  /** Key of signed tokens. */
  JWT_SECRET: text(/^(\S{32,})$/, "32 characters or more"),
  /** Key of what the application stores encrypted. */
  ENCRYPTION_KEY: text(/^([A-Za-z0-9+\/]{43}=|[0-9a-f]{64}|[A-Za-z0-9]{32})$/, "32 bytes in base64 or hex, or as 32 letters and digits"),
  /** After a rotation: the key before. */
  ENCRYPTION_KEY_PREVIOUS: text(/^([A-Za-z0-9+\/]{43}=|[0-9a-f]{64}|[A-Za-z0-9]{32})$/, "32 bytes in base64 or hex, or as 32 letters and digits").optional(),
  /** The database through the pool. */
  DATABASE_URL: text(/^(?!.*pgbouncer=true)^(postgresql|postgres):\/\/[^\/?#\s]/, "a postgresql:// URL without pgbouncer=true"),
  /** The database itself; migrations only by default. */
  DIRECT_URL: text(/^(postgresql|postgres):\/\/[^\/?#\s]/, "a URL that starts with postgresql:// or postgres://").optional(),
  /** Read replica, read-only role. */
  ANALYTICS_DATABASE_URL: text(/^(postgresql|postgres):\/\/[^\/?#\s]/, "a URL that starts with postgresql:// or postgres://").optional(),
  /** Development only: the same as DATABASE_URL. */
  DATABASE_URL_DEV: text(/^(postgresql|postgres):\/\/[^\/?#\s]/, "a URL that starts with postgresql:// or postgres://").optional(),
  /** Development only: an empty second database. */
  DATABASE_URL_TEST: text(/^(postgresql|postgres):\/\/[^\/?#\s]/, "a URL that starts with postgresql:// or postgres://").optional(),
  /** Connections of one pod to the pool. */
  DATABASE_POOL_SIZE: whole(1, 100).default(10),
  /** ms that a statement may take. */
  DATABASE_TIMEOUT: whole(1, 600000).default(30000),
  /** The cache's primary. */
  REDIS_URL: text(/^(redis|rediss):\/\/[^\/?#\s]/, "a URL that starts with redis:// or rediss://"),
  /** Instance that never evicts, for job queues. */
  QUEUE_REDIS_URL: text(/^(redis|rediss):\/\/[^\/?#\s]/, "a URL that starts with redis:// or rediss://").optional(),
  /** s that a session lives. */
  REDIS_TTL: whole(1, 31536000).default(3600),
  /** OAuth application of GitHub. */
  GITHUB_CLIENT_ID: z.string().min(1).optional(),
  /** Its secret. */
  GITHUB_CLIENT_SECRET: z.string().min(1).optional(),
  /** OAuth client of Google. */
  GOOGLE_CLIENT_ID: z.string().min(1).optional(),
  /** Its secret. */
  GOOGLE_CLIENT_SECRET: z.string().min(1).optional(),
  /** OpenAI. */
  OPENAI_API_KEY: text(/^(sk-\S+)$/, "text that starts with sk-").optional(),
  /** Model for analyses. */
  OPENAI_MODEL: z.string().min(1).default("gpt-4"),
  /** Longest answer. */
  OPENAI_MAX_TOKENS: whole(1, 1000000).default(4000),
  /** Anthropic. */
  ANTHROPIC_API_KEY: z.string().min(1).optional(),
  /** Supabase project; all three or none. */
  SUPABASE_URL: text(/^(http|https):\/\/[^\/?#\s]/, "a URL that starts with http:// or https://").optional(),
  /** Supabase project; all three or none. */
  SUPABASE_ANON_KEY: z.string().min(1).optional(),
  /** Supabase project; all three or none. */
  SUPABASE_SERVICE_ROLE_KEY: z.string().min(1).optional(),
  /** Bucket of the users' files. */
  UPLOAD_BUCKET: z.string().min(1).optional(),
  /** Its region. */
  UPLOAD_REGION: z.string().min(1).optional(),
  /** bytes; nginx refuses more. */
  UPLOAD_MAX_SIZE: whole(1, 10000000000).default(50000000),
  /** What may be uploaded. */
  ALLOWED_FILE_TYPES: text(/^(\.[\w.+-]+(,\.[\w.+-]+)*)$/, "a comma list of endings that start with a dot").default(".js,.ts,.jsx,.tsx,.py,.java,.cpp,.c,.go,.rs,.php,.rb,.swift,.kt,.scala,.clj,.hs,.ml,.fs,.ex,.elixir,.erl,.pl,.r,.m,.pas,.ada,.vb,.cs,.vbs,.ps1,.sh,.bash,.zsh,.fish,.lua,.nim,.cr,.d,.zig"),
  /** For one address on /api. */
  RATE_LIMIT_REQUESTS_PER_MINUTE: whole(1, 1000000).default(100),
  /** At once beyond the rate. */
  RATE_LIMIT_MAX_BURST: whole(1, 1000000).default(20),
  /** Whether nginx limits at all. */
  API_RATE_LIMIT_ENABLED: flag.default(true),
  /** Whether nginx sends security headers. */
  SECURITY_HEADERS_ENABLED: flag.default(true),
  /** Whether nginx sends the content security policy. */
  CSP_ENABLED: flag.default(true),
  /** s; 0 sends none. */
  HSTS_MAX_AGE: whole(0, 1000000000).default(31536000),
  /** Sites that may call the API. */
  CORS_ORIGINS: text(/^(https?:\/\/[a-z0-9.-]+(:\d+)?(,https?:\/\/[a-z0-9.-]+(:\d+)?)*)$/, "a comma list of origins such as https://example.com, and no *"),
  /** Mail. */
  RESEND_API_KEY: z.string().min(1).optional(),
  /** Telephony. */
  TELNYX_API_KEY: z.string().min(1).optional(),
  /** Payment. */
  STRIPE_SECRET_KEY: z.string().min(1).optional(),
  /** Error reports. */
  SENTRY_DSN: text(/^(https):\/\/[^\/?#\s]/, "a URL that starts with https://").optional(),
  /** Name of the stack. */
  SENTRY_ENVIRONMENT: z.string().min(1),
  /** Same as DEPLOYMENT_VERSION. */
  SENTRY_RELEASE: z.string().min(1),
  /** Add its hosts to the CSP lists. */
  GOOGLE_ANALYTICS_ID: z.string().min(1).optional(),
  /** Add its hosts to the CSP lists. */
  POSTHOG_KEY: z.string().min(1).optional(),
  /** Add its hosts to the CSP lists. */
  VERCEL_ANALYTICS_ID: z.string().min(1).optional(),
  /** Least level logged. */
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  /** Form of the log lines. */
  LOG_FORMAT: z.enum(["json", "text"]).default("json"),
  /** true answers 503 everywhere. */
  MAINTENANCE_MODE: flag.default(false),
  /** enhanced halves limits. */
  SECURITY_MODE: z.enum(["standard", "enhanced"]).default("standard"),
  /** true switches costly features off. */
  DEGRADED_MODE: flag.default(false),
  /** Feature flag. */
  NEW_EDITOR: flag.default(false),
  /** Feature flag. */
  BATCH_PROCESSING: flag.default(false),
  /** Feature flag. */
  TEAM_FEATURES: flag.default(false),
  /** Feature flag. */
  DEBUG_MODE: flag.default(false),
});

/** What the image is built with. */
export const buildEnvironment = z.object({
  /** Fixed: Next.js knows no staging. */
  NODE_ENV: z.enum(["production"]),
  /** Address of the site. */
  NEXT_PUBLIC_APP_URL: text(/^(http|https):\/\/[^\/?#\s]/, "a URL that starts with http:// or https://"),
  /** Address of the API. */
  NEXT_PUBLIC_API_URL: text(/^(http|https):\/\/[^\/?#\s]/, "a URL that starts with http:// or https://"),
  /** Version that Next.js checks for skew. */
  NEXT_DEPLOYMENT_ID: z.string().min(1),
  /** Commit that the image was built from. */
  DEPLOYMENT_VERSION: z.string().min(1),
  /** Equal in all replicas and the build. */
  NEXT_SERVER_ACTIONS_ENCRYPTION_KEY: text(/^([A-Za-z0-9+\/]{43}=)$/, "32 bytes in base64"),
  /** Error reports. */
  SENTRY_DSN: text(/^(https):\/\/[^\/?#\s]/, "a URL that starts with https://").optional(),
  /** Name of the stack. */
  SENTRY_ENVIRONMENT: z.string().min(1),
  /** Same as DEPLOYMENT_VERSION. */
  SENTRY_RELEASE: z.string().min(1),
  /** Add its hosts to the CSP lists. */
  GOOGLE_ANALYTICS_ID: z.string().min(1).optional(),
  /** Add its hosts to the CSP lists. */
  POSTHOG_KEY: z.string().min(1).optional(),
  /** Add its hosts to the CSP lists. */
  VERCEL_ANALYTICS_ID: z.string().min(1).optional(),
});

export type RuntimeEnvironment = z.infer<typeof runtimeEnvironment>;
export type BuildEnvironment = z.infer<typeof buildEnvironment>;
