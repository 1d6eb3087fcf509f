import type { Metadata } from "next";
import Link from "next/link";
import { notFound } from "next/navigation";
import { AnsweredBy } from "@/components/answered-by";
import { Time } from "@/components/time";
import { ComputeAgain } from "./compute-again";
import { type Bar, isPeriod, type Period, PERIODS, report } from "./report";

export const metadata: Metadata = { title: "Report" };
export const dynamic = "force-static";
// Seconds; the time a visitor may see old figures if nobody presses the button.
export const revalidate = 300;

/** Nothing is rendered while the image is built: there is no database then. */
export function generateStaticParams(): { period: string }[] {
  return [];
}

function label(start: string, period: Period): string {
  return period === "week" ? start.slice(5, 10) : start.slice(11, 16);
}

function Chart({ bars, period }: { bars: Bar[]; period: Period }) {
  const most = Math.max(...bars.map((bar) => bar.created), 1);
  const { labelEvery } = PERIODS[period];
  return (
    <ol className="chart" style={{ gridTemplateColumns: `repeat(${bars.length}, minmax(0, 1fr))` }}>
      {bars.map(({ start, created, done }, index) => (
        <li key={start} title={`${label(start, period)}: ${created} created, ${done} of them done`}>
          <span className="visually-hidden">
            {label(start, period)}: {created} created, {done} of them done
          </span>
          <span className="column" style={{ blockSize: `${(created / most) * 100}%` }} aria-hidden="true">
            <span style={{ blockSize: `${created ? (done / created) * 100 : 0}%` }} />
          </span>
          <span className="slot" aria-hidden="true">
            {(bars.length - 1 - index) % labelEvery === 0 && label(start, period)}
          </span>
        </li>
      ))}
    </ol>
  );
}

export default async function ReportPage({ params }: { params: Promise<{ period: string }> }) {
  const { period } = await params;
  if (!isPeriod(period)) notFound();
  const { counts, bars, computedAt, computedOn } = await report(period);
  const figures = { Tasks: counts.total, Open: counts.open, Done: counts.total - counts.open };
  return (
    <>
      <div className="page-head">
        <h1>Report</h1>
        <nav className="switch" aria-label="Period">
          {Object.entries(PERIODS).map(([name, { label }]) => (
            <Link key={name} href={`/report/${name}`} aria-current={name === period ? "page" : undefined}>
              {label}
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
          <h2 id="chart">Tasks created</h2>
          <Chart bars={bars} period={period} />
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
            <dt>Delivered by</dt>
            <dd className="mono">
              <AnsweredBy />
            </dd>
          </dl>
          <ComputeAgain period={period} />
          <p className="hint">
            This page is kept in Redis for five minutes. The button throws it away for every replica at once.
          </p>
        </section>
      </div>
    </>
  );
}
