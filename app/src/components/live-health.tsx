"use client";

import { useEffect, useState } from "react";
import type { Check, Health } from "@/server/health";

// With the other calls of this page well under the 100 requests a minute that nginx allows.
const EVERY_MS = 10_000;

const PARTS = [
  { key: "database", label: "Database" },
  { key: "redis", label: "Cache" },
  { key: "disk", label: "Disk" },
  { key: "memory", label: "Memory" },
  { key: "openai", label: "OpenAI" },
  { key: "github", label: "GitHub" },
] as const;

function figure(check: Check): string {
  if (check.status === "error" && check.percent === undefined) return "no answer";
  if (check.status === "not configured") return "not configured";
  if (check.ms !== undefined) return `${check.ms} ms`;
  return check.percent === undefined ? "no limit" : `${check.percent} % used`;
}

function tone(check: Check): string {
  return check.status === "not configured" ? "off" : check.status;
}

export function LiveHealth({ first }: { first: Health }) {
  const [health, setHealth] = useState<Health | null>(first);

  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden) return;
      fetch("/api/health", { cache: "no-store" })
        // 503 carries the same body: it is how the page learns what is wrong.
        .then((answer) => answer.json() as Promise<Health>)
        .then(setHealth, () => setHealth(null));
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, []);

  const status = health?.status ?? "error";
  return (
    <section aria-labelledby="health">
      <div className="section-head">
        <h2 id="health">Health</h2>
        <p className={`state ${status}`} role="status">
          {health === null ? "no answer" : status === "ok" ? "everything answers" : "something is wrong"}
        </p>
      </div>
      <ul className="tiles">
        {PARTS.map(({ key, label }) => {
          const check: Check = health?.[key] ?? { status: "error" };
          return (
            <li key={key} className={`tile ${tone(check)}`} title={check.error}>
              <span className="tile-label">{label}</span>
              <span className="tile-figure">{figure(check)}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
