"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";

const PAGES = [
  { href: "/", label: "Overview" },
  { href: "/tasks", label: "Tasks" },
  { href: "/report/hour", label: "Report" },
  { href: "/stream", label: "Stream" },
];

export function Nav() {
  const path = usePathname();
  const section = `/${path.split("/")[1]}`;
  return (
    <nav aria-label="Main">
      {PAGES.map(({ href, label }) => (
        <Link key={href} href={href} aria-current={`/${href.split("/")[1]}` === section ? "page" : undefined}>
          {label}
        </Link>
      ))}
    </nav>
  );
}
