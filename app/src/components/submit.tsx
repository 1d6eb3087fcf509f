"use client";

import type { ReactNode } from "react";
import { useFormStatus } from "react-dom";

type SubmitProps = { children: ReactNode; whilePending: string; className?: string };

export function Submit({ children, whilePending, className = "button" }: SubmitProps) {
  const { pending } = useFormStatus();
  return (
    <button className={className} disabled={pending}>
      {pending ? whilePending : children}
    </button>
  );
}
