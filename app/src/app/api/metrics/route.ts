import { connections } from "@/server/database";
import { metrics } from "../../../../metrics.mjs";

export const dynamic = "force-dynamic";

/** For the cluster's own Prometheus; nginx closes this path to the outside. */
export async function GET(): Promise<Response> {
  const { registry, poolConnections } = metrics();
  for (const [state, count] of Object.entries(connections())) poolConnections.set({ state }, count);
  return new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
}
