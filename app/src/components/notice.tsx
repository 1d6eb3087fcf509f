import type { ReactNode } from "react";

export function Notice({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="notice" role="status">
      <strong>{title}</strong>
      <p>{children}</p>
    </div>
  );
}

export function DatabaseAway() {
  return (
    <Notice title="The database is taking a break">
      It did not answer in time. Nothing is lost; reload in a moment. The rest of the site still works.
    </Notice>
  );
}
