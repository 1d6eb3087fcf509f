import type { Metadata } from "next";
import { DatabaseAway } from "@/components/notice";
import { Time } from "@/components/time";
import { countTasks, listTasks, type Task, type TaskCounts } from "@/server/tasks";
import { deleteTask, toggleTask } from "./actions";
import { Delete, NewTask, Toggle } from "./forms";

export const metadata: Metadata = { title: "Tasks" };
export const dynamic = "force-dynamic";

const SHOWN = 50;

async function load(): Promise<{ tasks: Task[]; counts: TaskCounts } | undefined> {
  try {
    const [tasks, counts] = await Promise.all([listTasks(SHOWN), countTasks()]);
    return { tasks, counts };
  } catch (error) {
    console.error(`tasks page: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function Row({ task }: { task: Task }) {
  return (
    <li className="task">
      <form action={toggleTask}>
        <input type="hidden" name="id" value={task.id} />
        <Toggle done={task.done} title={task.title} />
      </form>
      <div className="task-text">
        <span>{task.title}</span>
        <small>
          {task.created_by}, <Time at={task.created_at.toISOString()} />
        </small>
      </div>
      <form action={deleteTask}>
        <input type="hidden" name="id" value={task.id} />
        <Delete title={task.title} />
      </form>
    </li>
  );
}

export default async function Tasks() {
  const loaded = await load();
  return (
    <div className="narrow">
      <div className="page-head">
        <h1>Tasks</h1>
        <p>
          {loaded
            ? `${loaded.counts.open} open, ${loaded.counts.total - loaded.counts.open} done`
            : "One list that everybody shares"}
        </p>
      </div>
      <NewTask />
      {loaded === undefined && <DatabaseAway />}
      {loaded?.tasks.length === 0 && <p className="empty">Nothing to do. Add the first task above.</p>}
      {loaded !== undefined && loaded.tasks.length > 0 && (
        <ul className="tasks card">
          {loaded.tasks.map((task) => (
            <Row key={task.id} task={task} />
          ))}
        </ul>
      )}
      {loaded !== undefined && loaded.counts.total > SHOWN && (
        <p className="hint">The newest {SHOWN} are shown.</p>
      )}
      <p className="hint">Every form here also works without JavaScript.</p>
    </div>
  );
}
