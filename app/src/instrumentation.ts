export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { start } = await import("./server/start");
  start();
}

export async function onRequestError(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { metrics } = await import("../metrics.mjs");
  metrics().errors.inc({ where: "request" });
}
