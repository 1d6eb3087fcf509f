"use server";

import { updateTag } from "next/cache";
import { REPORT_TAG } from "./report";

export async function computeAgain(): Promise<void> {
  updateTag(REPORT_TAG);
}
