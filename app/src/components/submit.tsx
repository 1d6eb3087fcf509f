"use client";

import type { ReactNode } from "react";
import { useFormStatus } from "react-dom";

export function Submit({ children, pending, className }: { children: ReactNode; pending: string; className?: string }) {
  const status = useFormStatus();
  return (
    <button className={className ?? "button"} disabled={status.pending}>
      {status.pending ? pending : children}
    </button>
  );
}
