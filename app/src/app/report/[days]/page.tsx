import type { Metadata } from "next";
import Link from "next/link";
import { notFound } from "next/navigation";
import { AnsweredBy } from "@/components/answered-by";
import { Submit } from "@/components/submit";
import { Time } from "@/components/time";
import type { TasksPerDay } from "@/server/tasks";
import { computeAgain } from "./actions";
import { report } from "./report";

export const metadata: Metadata = { title: "Report" };
export const dynamic = "force-static";
// Seconds; the time a visitor may see old figures if nobody presses the button.
export const revalidate = 300;

const PERIODS = [7, 30];

/** Nothing is rendered while the image is built: there is no database then. */
export function generateStaticParams(): { days: string }[] {
  return [];
}

function Chart({ perDay }: { perDay: TasksPerDay[] }) {
  const most = Math.max(...perDay.map((day) => day.created), 1);
  return (
    <ol className="chart" style={{ gridTemplateColumns: `repeat(${perDay.length}, 1fr)` }}>
      {perDay.map(({ day, created, done }) => (
        <li key={day} title={`${day}: ${created} created, ${done} of them done`}>
          <span className="visually-hidden">
            {day}: {created} created, {done} of them done
          </span>
          <span className="column" style={{ blockSize: `${(created / most) * 100}%` }} aria-hidden="true">
            <span style={{ blockSize: `${created ? (done / created) * 100 : 0}%` }} />
          </span>
          <span className="day" aria-hidden="true">
            {Number(day.slice(8))}
          </span>
        </li>
      ))}
    </ol>
  );
}

export default async function ReportPage({ params }: { params: Promise<{ days: string }> }) {
  const days = Number((await params).days);
  if (!PERIODS.includes(days)) notFound();
  const { counts, perDay, computedAt, computedOn } = await report(days);
  const figures = { Tasks: counts.total, Open: counts.open, Done: counts.total - counts.open };
  return (
    <>
      <div className="page-head">
        <h1>Report</h1>
        <nav className="switch" aria-label="Period">
          {PERIODS.map((period) => (
            <Link key={period} href={`/report/${period}`} aria-current={period === days ? "page" : undefined}>
              {period} days
            </Link>
          ))}
        </nav>
      </div>
      <dl className="figures">
        {Object.entries(figures).map(([name, value]) => (
          <div key={name} className="card">
            <dt>{name}</dt>
            <dd>{value.toLocaleString("en")}</dd>
          </div>
        ))}
      </dl>
      <div className="columns wide-left">
        <section className="card" aria-labelledby="chart">
          <h2 id="chart">Created per day</h2>
          <Chart perDay={perDay} />
          <p className="legend">
            <span className="key created" /> still open <span className="key finished" /> done
          </p>
        </section>
        <section className="card" aria-labelledby="cached">
          <h2 id="cached">One copy for all replicas</h2>
          <dl className="facts">
            <dt>Computed</dt>
            <dd>
              <Time at={computedAt} />
            </dd>
            <dt>Computed by</dt>
            <dd className="mono">{computedOn}</dd>
            <dt>Brought by</dt>
            <dd className="mono">
              <AnsweredBy />
            </dd>
          </dl>
          <form action={computeAgain}>
            <Submit pending="Computing…">Compute again, for everyone</Submit>
          </form>
          <p className="hint">
            This page is kept in Redis for five minutes. The button throws it away for every replica at once.
          </p>
        </section>
      </div>
    </>
  );
}
