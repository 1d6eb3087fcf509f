import { unstable_cache } from "next/cache";
import { pod } from "@/server/pod";
import { countTasks, type TaskCounts, type TasksPerDay, tasksPerDay } from "@/server/tasks";

export type Report = { counts: TaskCounts; perDay: TasksPerDay[]; computedAt: string; computedOn: string };

export const REPORT_TAG = "report";

/** Kept in the shared cache, so that pages rendered later, by any replica, tell the same story. */
export const report = unstable_cache(
  async (days: number): Promise<Report> => {
    const [counts, perDay] = await Promise.all([countTasks(), tasksPerDay(days)]);
    return { counts, perDay, computedAt: new Date().toISOString(), computedOn: pod };
  },
  ["report"],
  { tags: [REPORT_TAG], revalidate: 300 },
);
