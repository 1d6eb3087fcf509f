"use server";

import { refresh } from "next/cache";
import { z } from "zod";
import { currentSession } from "@/server/session";
import * as tasks from "@/server/tasks";

export type Created = { error?: string; title?: string };

const NOT_SAVED = "The database did not answer, so nothing was saved. Try again in a moment.";
const id = z.string().regex(/^\d{1,18}$/);

export async function createTask(_before: Created, form: FormData): Promise<Created> {
  const title = form.get("title");
  const parsed = tasks.newTask.safeParse({ title });
  // The text goes back into the field: a visitor types it only once.
  const typed = typeof title === "string" ? title : "";
  if (!parsed.success) return { error: parsed.error.issues[0]?.message ?? "Not a title.", title: typed };
  try {
    const session = await currentSession();
    await tasks.createTask(parsed.data.title, session?.name ?? "guest");
  } catch (error) {
    console.error(`create task: ${error instanceof Error ? error.message : String(error)}`);
    return { error: NOT_SAVED, title: typed };
  }
  refresh();
  return {};
}

// When the next two fail, the refreshed page says so: it cannot read the list either.
async function change(work: (id: string) => Promise<void>, form: FormData): Promise<void> {
  const parsed = id.safeParse(form.get("id"));
  if (!parsed.success) return;
  try {
    await work(parsed.data);
  } catch (error) {
    console.error(`change task: ${error instanceof Error ? error.message : String(error)}`);
  }
  refresh();
}

export async function toggleTask(form: FormData): Promise<void> {
  await change(tasks.toggleTask, form);
}

export async function deleteTask(form: FormData): Promise<void> {
  await change(tasks.deleteTask, form);
}
