import type { Metadata } from "next";
import { Submit } from "@/components/submit";
import { Time } from "@/components/time";
import { config } from "@/server/config";
import { pod } from "@/server/pod";
import { currentSession, type Session } from "@/server/session";
import { signOut } from "./actions";
import { Announce, SignIn } from "./forms";

export const metadata: Metadata = { title: "Session" };
export const dynamic = "force-dynamic";

function SignedIn({ session }: { session: Session }) {
  return (
    <section className="card">
      <h2>Signed in as {session.name}</h2>
      <dl className="facts">
        <dt>Since</dt>
        <dd>
          <Time at={session.signedInAt} />
        </dd>
        <dt>Signed in on</dt>
        <dd className="mono">{session.signedInOn}</dd>
        <dt>Recognised by</dt>
        <dd className="mono">{pod}</dd>
        <dt>Kept for</dt>
        <dd>{Math.round(config().REDIS_TTL / 60)} minutes, in Redis</dd>
      </dl>
      <form action={signOut}>
        <Submit className="button quiet" whilePending="Signing out…">
          Sign out
        </Submit>
      </form>
    </section>
  );
}

export default async function SessionPage() {
  const session = await currentSession();
  return (
    <div className="narrow">
      <div className="page-head">
        <h1>Session</h1>
        <p>The browser holds a signed id; the data is in Redis, where every replica finds it.</p>
      </div>
      {session ? <SignedIn session={session} /> : <SignIn />}
      <Announce name={session?.name ?? ""} />
    </div>
  );
}
