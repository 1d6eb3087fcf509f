"use client";

import { useActionState, useEffect } from "react";
import { Submit } from "@/components/submit";
import { type SignedIn, signIn } from "./actions";

export function SignIn() {
  const [state, action] = useActionState<SignedIn, FormData>(signIn, {});
  return (
    <section className="card">
      <h2>Sign in</h2>
      <p className="hint">A demonstration: any name will do, and there is no password.</p>
      <form action={action} className="new-task">
        <label htmlFor="name" className="visually-hidden">
          Your name
        </label>
        <input
          id="name"
          name="name"
          placeholder="Your name"
          maxLength={40}
          required
          autoComplete="given-name"
          aria-describedby={state.error ? "name-error" : undefined}
          aria-invalid={state.error ? true : undefined}
        />
        <Submit whilePending="Signing in…">Sign in</Submit>
        {state.error && (
          <p id="name-error" className="field-error" role="alert">
            {state.error}
          </p>
        )}
      </form>
    </section>
  );
}

/** Tells the header, which lives on cached pages too and so asks by itself who is here. */
export function Announce({ name }: { name: string }) {
  useEffect(() => {
    window.dispatchEvent(new Event("session-changed"));
  }, [name]);
  return null;
}
