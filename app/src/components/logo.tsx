export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0f6f78" />
      <path d="M16 6.5 26 11.5 16 16.5 6 11.5Z" fill="#fff" />
      <path d="m6 16 10 5 10-5" fill="none" stroke="#9fe3db" strokeWidth="2.2" strokeLinejoin="round" />
      <path d="m6 20.5 10 5 10-5" fill="none" stroke="#4fb8b3" strokeWidth="2.2" strokeLinejoin="round" />
    </svg>
  );
}
