export const dynamic = "force-dynamic";

/** The event loop turns; nothing else is asked. */
export function GET(): Response {
  return Response.json({ status: "ok" });
}
