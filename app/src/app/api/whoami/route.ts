import { config } from "@/server/config";
import { pod } from "@/server/pod";
import { currentSession } from "@/server/session";

export const dynamic = "force-dynamic";

export async function GET(): Promise<Response> {
  const body = { pod, version: config().DEPLOYMENT_VERSION, session: await currentSession() };
  return Response.json(body, { headers: { "cache-control": "no-store" } });
}
