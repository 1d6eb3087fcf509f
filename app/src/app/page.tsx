import Image from "next/image";
import Link from "next/link";
import { LiveHealth } from "@/components/live-health";
import { Replicas } from "@/components/replicas";
import { config } from "@/server/config";
import { query } from "@/server/database";
import { health } from "@/server/health";
import { pod } from "@/server/pod";
import ridges from "../../public/ridges.jpg";

export const dynamic = "force-dynamic";

type Server = { version: string; extensions: string | null };

async function database(): Promise<string> {
  try {
    const [server] = await query<Server>(
      "server_version",
      `select split_part(version(), ' ', 2) as version,
              (select string_agg(extname || ' ' || extversion, ', ' order by extname)
                 from pg_extension where extname in ('vector', 'pgcrypto')) as extensions`,
      [],
      1_500,
    );
    return `PostgreSQL ${server?.version}${server?.extensions ? `, ${server.extensions}` : ""}`;
  } catch {
    return "not reachable";
  }
}

function switches(): string {
  const { NEW_EDITOR, BATCH_PROCESSING, TEAM_FEATURES, DEBUG_MODE, DEGRADED_MODE } = config();
  const all = { NEW_EDITOR, BATCH_PROCESSING, TEAM_FEATURES, DEBUG_MODE, DEGRADED_MODE };
  const on = Object.entries(all).flatMap(([name, value]) => (value ? [name] : []));
  return on.join(", ") || "none";
}

const TRY = [
  {
    href: "/tasks",
    title: "Tasks",
    text: "Rows in PostgreSQL, written by Server Actions through the connection pool.",
  },
  {
    href: "/report/hour",
    title: "Report",
    text: "One page, rendered once, cached for all replicas and revalidated for all of them.",
  },
  { href: "/stream", title: "Stream", text: "A page that arrives in pieces, and events as they happen." },
  { href: "/session", title: "Session", text: "Sign in on one replica; every other one knows you." },
];

export default async function Overview() {
  const [first, server] = await Promise.all([health(), database()]);
  const { APP_ENV, DEPLOYMENT_VERSION } = config();
  return (
    <>
      <section className="hero">
        <Image src={ridges} alt="" fill preload sizes="(max-width: 1120px) 100vw, 1120px" placeholder="blur" />
        <div className="hero-text">
          <p className="eyebrow">{APP_ENV}</p>
          <h1>{first.status === "ok" ? "Your platform is running." : "Your site still answers."}</h1>
          <p>
            A database behind a pool, a cache that survives its primary, three replicas behind nginx. This page
            uses all of it and shows what it finds.
          </p>
          <p className="hero-actions">
            <Link className="button on-image" href="/tasks">
              Open the task list
            </Link>
            <Link className="button ghost on-image" href="/report/hour">
              See the shared cache
            </Link>
          </p>
        </div>
      </section>

      <LiveHealth first={first} />

      <div className="columns">
        <Replicas first={pod} />
        <section className="card" aria-labelledby="release">
          <h2 id="release">This release</h2>
          <dl className="facts">
            <dt>Rendered by</dt>
            <dd className="mono">{pod}</dd>
            <dt>Version</dt>
            <dd className="mono">{DEPLOYMENT_VERSION}</dd>
            <dt>Database</dt>
            <dd>{server}</dd>
            <dt>Runtime</dt>
            <dd>Node.js {process.versions.node}</dd>
            <dt>Switched on</dt>
            <dd>{switches()}</dd>
          </dl>
        </section>
      </div>

      <section aria-labelledby="try">
        <h2 id="try">Try it</h2>
        <ul className="tour">
          {TRY.map(({ href, title, text }) => (
            <li key={href}>
              <Link className="card" href={href}>
                <strong>{title}</strong>
                <span>{text}</span>
              </Link>
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}
