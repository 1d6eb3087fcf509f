"use client";

import { useState } from "react";
import { whoami } from "./whoami";

const TIMES = 12;

export function Replicas({ first }: { first: string }) {
  const [counts, setCounts] = useState<Record<string, number>>({ [first]: 1 });
  const [busy, setBusy] = useState(false);

  async function ask() {
    setBusy(true);
    setCounts({});
    for (let time = 0; time < TIMES; time++) {
      const name = await whoami().then(
        (who) => who.pod,
        () => "no answer",
      );
      setCounts((before) => ({ ...before, [name]: (before[name] ?? 0) + 1 }));
    }
    setBusy(false);
  }

  const names = Object.keys(counts).sort();
  const most = Math.max(...Object.values(counts), 1);
  return (
    <section className="card" aria-labelledby="replicas">
      <div className="section-head">
        <h2 id="replicas">Who answers</h2>
        <button className="button quiet" onClick={ask} disabled={busy}>
          {busy ? "Asking…" : `Ask ${TIMES} times`}
        </button>
      </div>
      <ul className="bars" aria-live="polite">
        {names.map((name) => (
          <li key={name}>
            <span className="mono">{name}</span>
            <span className="bar" style={{ inlineSize: `${((counts[name] ?? 0) / most) * 100}%` }} />
            <span className="count">{counts[name]}</span>
          </li>
        ))}
      </ul>
      <p className="hint">Each request goes to whichever replica nginx picks.</p>
    </section>
  );
}
