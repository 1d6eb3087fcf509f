"use server";

import { updateTag } from "next/cache";
import { redirect } from "next/navigation";
import { databaseCheck } from "@/server/health";
import { isPeriod, REPORT_TAG } from "./report";

export type Computed = { error?: string };

/** Throws the kept copy away for all replicas, unless there is no way to make a new one. */
export async function computeAgain(_before: Computed, form: FormData): Promise<Computed> {
  const { status } = await databaseCheck();
  if (status === "error") {
    return { error: "The database did not answer, so the kept copy stays. Try again in a moment." };
  }
  updateTag(REPORT_TAG);
  const period = form.get("period");
  // The redirect makes this visitor, too, see the copy that is kept: an action's own answer is not.
  redirect(`/report/${isPeriod(period) ? period : "hour"}`);
}
