"use client";

import { Notice } from "@/components/notice";

export default function ErrorPage() {
  return (
    <div className="narrow">
      <div className="page-head">
        <h1>One moment, please</h1>
      </div>
      <Notice title="This page could not be put together">
        Something it needs did not answer in time. Nothing is lost.
      </Notice>
      <p>
        <button className="button" onClick={() => location.reload()}>
          Try again
        </button>
      </p>
    </div>
  );
}
