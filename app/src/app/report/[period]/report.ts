import { unstable_cache } from "next/cache";
import { pod } from "@/server/pod";
import { countTasks, tasksPerSlot, type TaskCounts } from "@/server/tasks";

export const PERIODS = {
  hour: { label: "1 hour", slot: "5 minutes", slots: 12, labelEvery: 3 },
  day: { label: "24 hours", slot: "1 hour", slots: 24, labelEvery: 6 },
  week: { label: "7 days", slot: "1 day", slots: 7, labelEvery: 1 },
};
export type Period = keyof typeof PERIODS;

export function isPeriod(text: unknown): text is Period {
  return typeof text === "string" && Object.hasOwn(PERIODS, text);
}

export type Bar = { start: string; created: number; done: number };
export type Report = { counts: TaskCounts; bars: Bar[]; computedAt: string; computedOn: string };

export const REPORT_TAG = "report";

/** Kept in the shared cache, so that pages rendered later, by any replica, tell the same story. */
export const report = unstable_cache(
  async (period: Period): Promise<Report> => {
    const { slot, slots } = PERIODS[period];
    const [counts, rows] = await Promise.all([countTasks(), tasksPerSlot(slot, slots)]);
    const bars = rows.map((row) => ({ ...row, start: row.start.toISOString() }));
    return { counts, bars, computedAt: new Date().toISOString(), computedOn: pod };
  },
  ["report"],
  { tags: [REPORT_TAG], revalidate: 300 },
);
