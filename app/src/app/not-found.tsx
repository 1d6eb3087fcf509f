import Link from "next/link";

export default function NotFound() {
  return (
    <div className="narrow">
      <div className="page-head">
        <h1>There is no such page</h1>
        <p>
          Back to the <Link href="/">overview</Link>.
        </p>
      </div>
    </div>
  );
}
