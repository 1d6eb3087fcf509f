import type { Metadata } from "next";
import { Suspense } from "react";
import { setTimeout as sleep } from "node:timers/promises";
import { Events } from "@/components/events";
import { type Check, databaseCheck, redisCheck } from "@/server/health";
import { pod } from "@/server/pod";

export const metadata: Metadata = { title: "Stream" };
export const dynamic = "force-dynamic";

type Piece = { title: string; afterMs: number; find: () => string | Promise<string> };

function told(check: Check): string {
  return check.status === "ok" ? `answered in ${check.ms} ms` : `did not answer (${check.error})`;
}

const PIECES: Piece[] = [
  { title: "The server", afterMs: 1_000, find: () => `${pod}, up for ${Math.round(process.uptime())} s` },
  { title: "The database", afterMs: 2_000, find: async () => told(await databaseCheck()) },
  { title: "The cache", afterMs: 3_000, find: async () => told(await redisCheck()) },
];

async function Late({ piece }: { piece: Piece }) {
  await sleep(piece.afterMs);
  return <p className="arrived">{await piece.find()}</p>;
}

export default function Stream() {
  return (
    <>
      <div className="page-head">
        <h1>Stream</h1>
        <p>Nothing between the server and you holds an answer back.</p>
      </div>
      <div className="columns">
        <section className="card" aria-labelledby="pieces">
          <h2 id="pieces">One page, in pieces</h2>
          <p className="hint">
            The frame was sent at once; the rest follows in the same response, a second apart.
          </p>
          <ol className="pieces">
            {PIECES.map((piece) => (
              <li key={piece.title}>
                <strong>{piece.title}</strong>
                <Suspense fallback={<p className="waiting">waiting…</p>}>
                  <Late piece={piece} />
                </Suspense>
              </li>
            ))}
          </ol>
        </section>
        <Events />
      </div>
    </>
  );
}
