"use client";

import { useEffect, useState } from "react";
import { whoami } from "./whoami";

/** A replica that answers this visitor now, on a page that may have been rendered by another. */
export function AnsweredBy() {
  const [name, setName] = useState("…");
  useEffect(() => {
    whoami().then(
      (who) => setName(who.pod),
      () => setName("no answer"),
    );
  }, []);
  return name;
}
