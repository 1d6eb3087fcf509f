"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";
import { useEffect, useState } from "react";
import { type Whoami, whoami } from "./whoami";

/** The visitor's name; without JavaScript a plain link to the sign-in page. */
export function Presence() {
  const path = usePathname();
  const [who, setWho] = useState<Whoami>();

  useEffect(() => {
    let gone = false;
    const ask = () => {
      whoami().then(
        (answer) => gone || setWho(answer),
        () => undefined,
      );
    };
    ask();
    window.addEventListener("session-changed", ask);
    return () => {
      gone = true;
      window.removeEventListener("session-changed", ask);
    };
  }, [path]);

  const name = who?.session?.name;
  return (
    <Link href="/session" className="presence" aria-current={path === "/session" ? "page" : undefined}>
      {name ? (
        <>
          <span className="avatar" aria-hidden="true">
            {[...name][0]?.toUpperCase()}
          </span>
          <span className="presence-name">{name}</span>
        </>
      ) : (
        "Sign in"
      )}
    </Link>
  );
}
