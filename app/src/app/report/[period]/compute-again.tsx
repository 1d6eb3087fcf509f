"use client";

import { useActionState } from "react";
import { Submit } from "@/components/submit";
import { type Computed, computeAgain } from "./actions";

export function ComputeAgain({ period }: { period: string }) {
  const [state, action] = useActionState<Computed, FormData>(computeAgain, {});
  return (
    <form action={action}>
      <input type="hidden" name="period" value={period} />
      <Submit whilePending="Computing…">Compute again, for everyone</Submit>
      {state.error && (
        <p className="field-error" role="alert">
          {state.error}
        </p>
      )}
    </form>
  );
}
