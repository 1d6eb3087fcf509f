/**
 * The run-time configuration: the platform's environment contract, checked once at start.
 * Nothing is read while the image is built, so one image serves every stack.
 */
import { type RuntimeEnvironment, runtimeEnvironment } from "./environment";

let checked: RuntimeEnvironment | undefined;

/** Throws one error that lists everything that is wrong; never a value, as many are secret. */
export function config(): RuntimeEnvironment {
  return (checked ??= check(process.env));
}

export function check(environment: Record<string, string | undefined>): RuntimeEnvironment {
  const present = Object.entries(environment).filter(([, value]) => value !== "");
  const result = runtimeEnvironment.safeParse(Object.fromEntries(present));
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `  ${name}: ${environment[name] ? issue.message : "is missing"}`;
  });
  throw new Error(
    `the configuration is invalid, ${problems.length} problem(s):\n${problems.join("\n")}\n` +
      "set these variables in the environment of the container",
  );
}
