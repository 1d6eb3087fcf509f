"use client";

import { useEffect, useState } from "react";

function ago(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Sent as UTC, so that server and browser agree; the browser then counts. */
export function Time({ at }: { at: string }) {
  const [now, setNow] = useState<number>();
  useEffect(() => {
    const tick = () => setNow(Date.now());
    tick();
    const timer = setInterval(tick, 1_000);
    return () => clearInterval(timer);
  }, []);
  const utc = `${at.slice(11, 19)} UTC`;
  return (
    <time dateTime={at} title={at}>
      {now === undefined ? utc : `${utc}, ${ago(now - Date.parse(at))}`}
    </time>
  );
}
