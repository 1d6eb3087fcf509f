"use client";

import { useEffect, useRef, useState } from "react";

type Event = { number: number; of: number; pod: string; at: string };

export function Events() {
  const [events, setEvents] = useState<Event[]>([]);
  const [open, setOpen] = useState(false);
  const source = useRef<EventSource>(null);

  useEffect(() => () => source.current?.close(), []);

  function listen() {
    source.current?.close();
    setEvents([]);
    setOpen(true);
    const stream = new EventSource("/api/stream");
    source.current = stream;
    stream.onmessage = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as Event;
      setEvents((before) => [...before, event]);
    };
    // The server closes after the last event; by itself an EventSource would then start again.
    stream.onerror = () => {
      stream.close();
      setOpen(false);
    };
  }

  return (
    <section className="card" aria-labelledby="events">
      <div className="section-head">
        <h2 id="events">Server-sent events</h2>
        <button className="button quiet" onClick={listen} disabled={open}>
          {open ? "Listening…" : "Listen"}
        </button>
      </div>
      <p className="hint">Five events, one a second, over one open connection.</p>
      <ol className="events" aria-live="polite">
        {events.map((event) => (
          <li key={event.number} className="arrived">
            <span className="count">
              {event.number}/{event.of}
            </span>
            <span className="mono">{event.pod}</span>
            <time dateTime={event.at}>{event.at.slice(11, 23)}</time>
          </li>
        ))}
      </ol>
    </section>
  );
}
