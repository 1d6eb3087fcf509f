import { setTimeout as sleep } from "node:timers/promises";
import { pod } from "@/server/pod";

export const dynamic = "force-dynamic";

const EVENTS = 5;
const PAUSE_MS = 1_000;

/** Server-sent events, one a second: they arrive one by one only if nothing on the way buffers them. */
export function GET(request: Request): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      try {
        for (let number = 1; number <= EVENTS; number++) {
          if (number > 1) await sleep(PAUSE_MS, undefined, { signal: request.signal });
          const data = JSON.stringify({ number, of: EVENTS, pod, at: new Date().toISOString() });
          controller.enqueue(encoder.encode(`data: ${data}\n\n`));
        }
        controller.close();
      } catch {
        // The visitor left; there is nobody to tell.
      }
    },
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}
