/**
 * Sessions: a signed id in a cookie, the data in Redis, so that any replica knows the visitor.
 * A demonstration: one signs in by typing a name. Passwords and providers are left out.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { cookies } from "next/headers";
import { metrics } from "../../metrics.mjs";
import { redis } from "../../redis.mjs";
import { config } from "./config";
import { pod } from "./pod";

export type Session = { name: string; signedInAt: string; signedInOn: string };

const COOKIE = "session";
// Not CACHE_KEY_PREFIX, which changes with each release: a deployment signs nobody out.
const key = (id: string) => `session:${id}`;

function sign(id: string): string {
  return createHmac("sha256", config().NEXTAUTH_SECRET).update(id).digest("base64url");
}

/** The id, if the cookie carries our signature. */
export function verified(cookie: string | undefined): string | undefined {
  const [id, signature] = cookie?.split(".") ?? [];
  if (!id || !signature) return undefined;
  const expected = Buffer.from(sign(id));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected) ? id : undefined;
}

/** Null when signed out, and when Redis is away: the site goes on for anonymous visitors. */
export async function currentSession(): Promise<Session | null> {
  const id = verified((await cookies()).get(COOKIE)?.value);
  if (!id) return null;
  try {
    const data = await redis().get(key(id));
    metrics().cacheReads.inc({ use: "session", result: data ? "hit" : "miss" });
    return data ? (JSON.parse(data) as Session) : null;
  } catch {
    metrics().cacheReads.inc({ use: "session", result: "error" });
    return null;
  }
}

export async function signIn(name: string): Promise<void> {
  const { NEXTAUTH_URL, REDIS_TTL } = config();
  const id = randomBytes(24).toString("base64url");
  const session: Session = { name, signedInAt: new Date().toISOString(), signedInOn: pod };
  await redis().set(key(id), JSON.stringify(session), "EX", REDIS_TTL);
  (await cookies()).set(COOKIE, `${id}.${sign(id)}`, {
    httpOnly: true,
    sameSite: "lax",
    secure: NEXTAUTH_URL.startsWith("https:"),
    path: "/",
    maxAge: REDIS_TTL,
  });
}

export async function signOut(): Promise<void> {
  const jar = await cookies();
  const id = verified(jar.get(COOKIE)?.value);
  jar.delete(COOKIE);
  if (id) await redis().del(key(id));
}
