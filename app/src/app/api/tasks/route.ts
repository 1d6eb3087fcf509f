import { currentSession } from "@/server/session";
import { countTasks, createTask, listTasks, newTask } from "@/server/tasks";

export const dynamic = "force-dynamic";

const MOST = 100;

function refused(status: number, error: string): Response {
  return Response.json({ error }, { status });
}

/** For an answer the caller can act on: 503 says try again, and names no host. */
async function orUnavailable(work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    console.error(`api/tasks: ${error instanceof Error ? error.message : String(error)}`);
    return refused(503, "the database is not reachable; try again");
  }
}

export function GET(): Promise<Response> {
  return orUnavailable(async () => {
    const [tasks, counts] = await Promise.all([listTasks(MOST), countTasks()]);
    return Response.json({ ...counts, tasks });
  });
}

export async function POST(request: Request): Promise<Response> {
  // A foreign site's form cannot send this type without asking first.
  if (!request.headers.get("content-type")?.startsWith("application/json")) {
    return refused(415, "the content type must be application/json");
  }
  const parsed = newTask.safeParse(await request.json().catch(() => undefined));
  if (!parsed.success) return refused(400, parsed.error.issues[0]?.message ?? "the body is invalid");
  return orUnavailable(async () => {
    const session = await currentSession();
    const task = await createTask(parsed.data.title, session?.name ?? "guest");
    return Response.json(task, { status: 201 });
  });
}
