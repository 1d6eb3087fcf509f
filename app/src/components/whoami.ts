import type { Session } from "@/server/session";

export type Whoami = { pod: string; version: string; session: Session | null };

/** Asks whichever replica the load balancer picks. */
export async function whoami(): Promise<Whoami> {
  const answer = await fetch("/api/whoami", { cache: "no-store" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return (await answer.json()) as Whoami;
}
