/** The tasks: the only data of this application. Who may do what is left out; everybody shares one list. */
import { z } from "zod";
import { PAGE_TIMEOUT_MS, query } from "./database";

export type Task = { id: string; title: string; done: boolean; created_by: string; created_at: Date };
export type TaskCounts = { total: number; open: number };

export const newTask = z.object({
  title: z
    .string("title must be text")
    .trim()
    .min(1, "Type what is to be done.")
    .max(200, "At most 200 characters, please."),
});

const COLUMNS = "id, title, done, created_by, created_at";

export function listTasks(limit: number): Promise<Task[]> {
  return query<Task>(
    "list_tasks",
    `select ${COLUMNS} from tasks order by created_at desc, id desc limit $1`,
    [limit],
    PAGE_TIMEOUT_MS,
  );
}

export async function countTasks(): Promise<TaskCounts> {
  const [row] = await query<TaskCounts>(
    "count_tasks",
    "select count(*)::int as total, (count(*) filter (where not done))::int as open from tasks",
    [],
    PAGE_TIMEOUT_MS,
  );
  return row ?? { total: 0, open: 0 };
}

export async function createTask(title: string, createdBy: string): Promise<Task> {
  const [row] = await query<Task>(
    "create_task",
    `insert into tasks (title, created_by) values ($1, $2) returning ${COLUMNS}`,
    [title, createdBy],
  );
  if (!row) throw new Error("the insert returned no row");
  return row;
}

export async function toggleTask(id: string): Promise<void> {
  await query("toggle_task", "update tasks set done = not done where id = $1", [id]);
}

export async function deleteTask(id: string): Promise<void> {
  await query("delete_task", "delete from tasks where id = $1", [id]);
}

export type Slot = { start: Date; created: number; done: number };

/** The tasks created in each of the last `slots` slots of time; the last slot is the current one. */
export function tasksPerSlot(slot: string, slots: number): Promise<Slot[]> {
  return query<Slot>(
    "tasks_per_slot",
    `with last as (select date_bin($1::interval, now(), 'epoch') as start)
     select series.start,
            count(tasks.id)::int as created,
            (count(tasks.id) filter (where tasks.done))::int as done
       from last,
            generate_series(last.start - $1::interval * ($2::int - 1), last.start, $1::interval) as series(start)
       left join tasks
         on tasks.created_at >= series.start and tasks.created_at < series.start + $1::interval
      group by series.start order by series.start`,
    [slot, slots],
    PAGE_TIMEOUT_MS,
  );
}
