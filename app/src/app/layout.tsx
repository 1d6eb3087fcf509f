import type { Metadata, Viewport } from "next";
import Link from "next/link";
import type { ReactNode } from "react";
import { Logo } from "@/components/logo";
import { Nav } from "@/components/nav";
import { Presence } from "@/components/presence";
import "./globals.css";

export const metadata: Metadata = {
  title: { default: "nextstack", template: "%s · nextstack" },
  description: "The sample application of nextstack: it uses everything the platform offers.",
};

export const viewport: Viewport = {
  themeColor: [
    { media: "(prefers-color-scheme: light)", color: "#f5f7f8" },
    { media: "(prefers-color-scheme: dark)", color: "#0d1216" },
  ],
};

// No cookies are read here: that would make every page dynamic, the cached report included.
export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <a className="skip" href="#content">
          Skip to the content
        </a>
        <header className="top">
          <div className="top-inner">
            <Link href="/" className="brand" aria-label="nextstack, overview">
              <Logo />
              <span>nextstack</span>
            </Link>
            <Nav />
            <Presence />
          </div>
        </header>
        <main id="content">{children}</main>
        <footer className="bottom">
          <p>The sample application of nextstack. Your own goes in its place.</p>
        </footer>
      </body>
    </html>
  );
}
