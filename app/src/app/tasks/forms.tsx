"use client";

import { useActionState } from "react";
import { useFormStatus } from "react-dom";
import { Submit } from "@/components/submit";
import { type Created, createTask } from "./actions";

export function NewTask() {
  const [created, action] = useActionState<Created, FormData>(createTask, {});
  return (
    <form action={action} className="new-task">
      <label htmlFor="title" className="visually-hidden">
        New task
      </label>
      <input
        id="title"
        name="title"
        placeholder="What is to be done?"
        defaultValue={created.title}
        maxLength={200}
        required
        autoComplete="off"
        aria-describedby={created.error ? "title-error" : undefined}
        aria-invalid={created.error ? true : undefined}
      />
      <Submit whilePending="Adding…">Add task</Submit>
      {created.error && (
        <p id="title-error" className="field-error" role="alert">
          {created.error}
        </p>
      )}
    </form>
  );
}

/** Shows the new state while the action runs; if that fails, the answer puts the old one back. */
export function Toggle({ done, title }: { done: boolean; title: string }) {
  const { pending } = useFormStatus();
  const shown = pending ? !done : done;
  return (
    <button className="check" role="checkbox" aria-checked={shown} aria-label={title}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="m3.5 8.5 3 3 6-7" />
      </svg>
    </button>
  );
}

export function Delete({ title }: { title: string }) {
  const { pending } = useFormStatus();
  return (
    <button className="delete" data-pending={pending || undefined} aria-label={`Delete ${title}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="m4 4 8 8m0-8-8 8" />
      </svg>
    </button>
  );
}
