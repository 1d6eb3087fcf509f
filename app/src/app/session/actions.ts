"use server";

import { redirect } from "next/navigation";
import { z } from "zod";
import * as session from "@/server/session";

export type SignedIn = { error?: string };

const newName = z
  .string()
  .trim()
  .min(1, "Type a name.")
  .max(40, "At most 40 characters, please.");

export async function signIn(_before: SignedIn, form: FormData): Promise<SignedIn> {
  const parsed = newName.safeParse(form.get("name"));
  if (!parsed.success) return { error: parsed.error.issues[0]?.message ?? "Not a name." };
  try {
    await session.signIn(parsed.data);
  } catch (error) {
    console.error(`sign in: ${error instanceof Error ? error.message : String(error)}`);
    return { error: "Sessions are not available right now. Everything else works; try again in a moment." };
  }
  redirect("/session");
}

export async function signOut(): Promise<void> {
  try {
    await session.signOut();
  } catch (error) {
    // The cookie is gone in any case; what is left in Redis expires.
    console.error(`sign out: ${error instanceof Error ? error.message : String(error)}`);
  }
  redirect("/session");
}
